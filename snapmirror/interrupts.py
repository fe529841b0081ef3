"""SIGINT, SIGTERM and SIGHUP as an exception in the main thread, once.

The first signal raises `Interrupted`, and every context manager on the way out undoes its state. A second one is noted
and ignored: it must not break the undoing. `deferred` holds a first signal back over a stretch that has to be whole,
such as the undoing at the regular end of a run, and raises it afterwards.

Python looks for signals between its own steps: one that comes between the last of them and a wait in the kernel would
be seen when that wait is over, hours later perhaps. So a thread is told of each signal as it arrives, and sends it
again until it has been seen.
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
    """Take the signals over; one that is ignored on entry (nohup) stays ignored. For the main thread of a program."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)
    insist()


def insist() -> None:
    """See to it that the first signal is seen. For a child that goes on in Python, too: threads end at a fork."""
    with suppress(OSError, RuntimeError):  # no memory, descriptors or threads: whatever needs them next says so
        arrived, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # what the main thread blocks, waits
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
            signal.pthread_kill(main, number)  # and so arrives once more


# A signal to a child that is about to become another program is not ours.
os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))


def install_own(number: signal.Signals, meaning: Interrupted) -> None:
    """Take over a further signal, by which another process of ours tells of something."""
    _own[number] = meaning
    signal.signal(number, _handle)


def ignore() -> None:
    """From now on signals do nothing: the verdict is out."""
    for number in (*_SIGNALS, *_own):
        signal.signal(number, signal.SIG_IGN)


def raised() -> Interrupted | None:
    """The interruption, if there was one: Python may have wrapped it, or lost it in a callback of its own."""
    return _State.raised


def check() -> None:
    """Raise an interruption that got lost on its way. Not for what undoes."""
    if _State.raised is not None:
        raise _State.raised


@contextmanager
def deferred() -> Iterator[None]:
    """A first signal waits until the end of the block; only StuckError, which outranks everything, wins over it.

    What the block has begun must be known before it ends: a signal is raised right there. Nothing waits for a block in
    another thread than the main one: no signal is ever raised there.
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
        with suppress(OSError):  # a terminal that hangs up tells us twice, and takes no answer
            os.write(2, _NOTE)  # not logging: it may be what was interrupted
    elif _State.depth:
        _State.pending = number
    else:
        _interrupt(number)


def _interrupt(number: int) -> None:
    _State.raised = _own.get(number) or Interrupted(number, signal.Signals(number).name)
    raise _State.raised
