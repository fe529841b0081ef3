"""A command split in two: a worker that does it, and the process that was started, which only watches.

A process that waits for a dead disk cannot be killed, and its caller waits for ever. So a child does what may hang for
ever, and the process that cron or a shell started touches nothing that may hang: it can always end, with an exit code.
A pipe, the leash, ties the worker to its watcher: when the watcher is gone, for whatever reason, the worker closes the
streams that it has inherited (their readers would wait) and unwinds as after SIGTERM. Forks, but runs no program.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from msgspec import Struct

from snapmirror import interrupts, threads

_FORWARDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_AWAITED = _FORWARDED | {signal.SIGCHLD}
_FROM_THE_KERNEL = 0x80  # si_code of a key on the terminal: the worker has received it as well


class Worker(Struct, frozen=True):
    """The worker, as its watcher sees it."""

    pid: int
    _leash: int

    def exit_code(self) -> int | None:
        """None while it runs; 128 and more for a signal, as in shells."""
        return _exit_code(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int | None:
        """Forward arriving signals for some seconds; return the exit code as soon as there is one."""
        if (code := self.exit_code()) is not None:
            return code
        arrived = signal.sigtimedwait(_AWAITED, seconds)
        if arrived is not None and arrived.si_signo in _FORWARDED and arrived.si_code != _FROM_THE_KERNEL:
            self.signal(signal.Signals(arrived.si_signo))
        return self.exit_code()


@contextmanager
def split() -> Iterator[Worker | None]:
    """From here on there are two processes: the worker gets None, the other one has to watch it.

    Only the watcher needs the context; the worker may leave it at once.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)  # no signal may get lost between the two
    held, leash = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(leash)
        threads.started(_end_with_watcher, held)
        interrupts.insist()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield None
        return
    os.close(held)
    try:
        yield Worker(pid, leash)
    finally:
        os.close(leash)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Helper(Struct, frozen=True):
    """A child of the watcher that does one small task, and may hang in it."""

    pid: int

    def ended(self) -> bool:
        """Whether it has ended."""
        return _exit_code(self.pid) is not None

    def kill(self) -> None:
        """Kill it, without waiting: it may not be able to die yet."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def helper(task: Callable[[], None], worker: Worker) -> Helper:
    """Start a helper of the watcher. It inherits no descriptor whose EOF someone awaits."""
    pid = os.fork()
    if pid:
        return Helper(pid)
    try:
        os.close(worker._leash)
        _drop_streams()
        for number in _AWAITED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
        task()
    finally:
        os._exit(0)


def _end_with_watcher(held: int) -> None:
    os.read(held, 1)  # nothing is ever written: it returns when the other end is closed
    _drop_streams()
    os.kill(os.getpid(), signal.SIGTERM)


def _drop_streams() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.close(null)


def _exit_code(pid: int) -> int | None:
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 1
    if not ended:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
