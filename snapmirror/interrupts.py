"""SIGINT, SIGTERM and SIGHUP as an exception in the main thread, once.

The first signal raises `Interrupted`, and every context manager releases its state as it is left. A second one is
noted and ignored: it must not interrupt the release. `deferred` delays a first signal until the end of a block that
must not be interrupted, such as the release at the regular end of a run, and raises it then.

Python checks for signals between its own instructions: a signal that arrives after the last check and before a wait in
the kernel is handled only when that wait is over, perhaps hours later. So a thread learns of each signal as it arrives,
and sends it again until it has been handled.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from snapmirror import threads
from snapmirror.errors import Interrupted, StuckError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOTE = b"snapmirror: one moment, releasing what is mounted or attached\n"
_AGAIN_SECONDS = 0.5
_STACK_BYTES = 256 << 10

_own: dict[int, Interrupted] = {}


class _State:
    seen = False
    raised: Interrupted | None = None
    depth = 0
    pending = 0


def install() -> None:
    """Handle the signals; one that is ignored on entry (nohup) stays ignored. Call it in the main thread."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)
    insist()


def insist() -> None:
    """Make sure that the first signal is handled. Also for a child that goes on in Python: threads end at a fork."""
    with suppress(OSError, RuntimeError):  # no memory, descriptors or threads: whatever needs them next fails with that
        arrived, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # (they stay pending)
        try:
            # the usual stack of 8 MiB counts where memory is limited
            threads.started(_insist, arrived, threading.get_ident(), stack=_STACK_BYTES)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _insist(arrived: int, main: int) -> None:
    while not _State.seen:
        (number,) = os.read(arrived, 1)
        time.sleep(_AGAIN_SECONDS)
        if not _State.seen and signal.getsignal(number) is _handle:
            signal.pthread_kill(main, number)  # so that it arrives once more


# A signal to a child that is about to become another program is not ours.
os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))


def install_own(number: signal.Signals, meaning: Interrupted) -> None:
    """Handle a further signal, by which another process of ours reports something."""
    _own[number] = meaning
    signal.signal(number, _handle)


def ignore() -> None:
    """From now on signals do nothing: the result is reported."""
    for number in (*_SIGNALS, *_own):
        signal.signal(number, signal.SIG_IGN)


def raised() -> Interrupted | None:
    """The interruption, if there was one: Python may have wrapped it, or lost it in one of its callbacks."""
    return _State.raised


def check() -> None:
    """Raise an interruption that got lost. Not to be called while releasing."""
    if _State.raised is not None:
        raise _State.raised


@contextmanager
def deferred() -> Iterator[None]:
    """Delay a first signal until the end of the block; only StuckError, which outranks everything, wins over it.

    Record what the block has begun before it ends: a signal is raised right there. In another thread than the main one
    this does nothing: no signal is ever raised there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.depth += 1
    try:
        yield
    except StuckError:
        _State.depth -= 1
        _State.pending = 0
        raise
    except BaseException:
        _State.depth -= 1
        _raise_pending()
        raise
    _State.depth -= 1
    _raise_pending()


def _raise_pending() -> None:
    if _State.pending and not _State.depth:
        number, _State.pending = _State.pending, 0
        _interrupt(number)


def _handle(number: int, _frame: FrameType | None) -> None:
    _State.seen = True
    if _State.raised:
        with suppress(OSError):  # a terminal that hangs up signals twice and accepts no output
            os.write(2, _NOTE)  # not logging: the signal may have interrupted it
    elif _State.depth:
        _State.pending = number
    else:
        _interrupt(number)


def _interrupt(number: int) -> None:
    _State.raised = _own.get(number) or Interrupted(number, signal.Signals(number).name)
    raise _State.raised
