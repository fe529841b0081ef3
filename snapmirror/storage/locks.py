"""The locks of a store: their order, and the only way to take one. Runs no program.

Each lock is defined beside what it guards. A process takes them in this order and skips those that it does not need:

    RUN         one run per store at a time                               run_lock.run_lock
    SERVING     one export per store at a time                            export_lock.serving
    WANTED      somebody needs the store closed (shared)                  export_lock.closed
    OPEN        the export has the store open, or others need it closed   export_lock.opening, closed
    SHARE       the share is used (shared), or mounted and unmounted      share.mounted
    IMAGE       one program at a time has the image open                  image.held
    POOL        the same of a pool that lies in no image                  pool.held
    COPY_SHARE  as SHARE, of the share that a copy of the image goes to   destination.mounted
    COPY        as IMAGE, of the copy                                     copier.Copier

So a night takes RUN, WANTED, OPEN, SHARE, IMAGE; `find` takes SHARE, IMAGE; the export takes SERVING and OPEN for as
long as it serves, and SHARE and IMAGE while it mounts the store. A process that holds a lock may wait only for one
later in the list, so no two processes wait for each other. Taking them in another order is a bug: AssertionError.

The kernel keeps each of them (the server that of an image on a share) and releases it when its holder ends, also after
`kill -9`. So no lock is ever stale, and the files stay when the locks are gone.

Not in the list: the log of the nights is locked for one write, during which no other lock is taken.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import IO

from msgspec import Struct

from snapmirror import interrupts, lockfile
from snapmirror.errors import SnapmirrorError, StorageError, TakenError

log = logging.getLogger("snapmirror.lock")

_PAUSE_SECONDS = 0.2
_LOOKS = 5  # for a holder that seems to be no snapmirror: it may have ended since, or in mid-look, and its name with it
READER_SECONDS = 300.0
"""How long a run waits for a command that only reads. It has the lock of runs, so only such a command can block it."""


class Rank(IntEnum):
    """The place of a lock in the order: the module's docstring describes each of them."""

    RUN = 1
    SERVING = 2
    WANTED = 3
    OPEN = 4
    SHARE = 5
    IMAGE = 6
    POOL = 7
    COPY_SHARE = 8
    COPY = 9


_held: list[Rank] = []  # by this process


class Refusal(Struct, frozen=True):
    """Another process has the lock.

    `error` makes the error that is raised `wait` seconds after the first attempt. It is made only when it is needed:
    finding the holder takes a walk through /proc. Until then the attempt is repeated, and the log says so once, at
    `level`: with the `notice`, or with the error if that is empty. Without a notice (None) the wait goes on while an
    interruption unwinds the run: undoing may need such a lock, too.
    """

    error: Callable[[], SnapmirrorError]
    wait: float = 0.0
    notice: str | None = ""
    level: int = logging.INFO


@contextmanager
def held(rank: Rank, attempt: Callable[[], Refusal | None], *, pause: float = _PAUSE_SECONDS) -> Iterator[None]:
    """Hold a lock. `attempt` takes it without waiting, or says why not; `pause`: seconds between two attempts.

    The lock ends when the caller that opened its file closes it. Raises the refusal's error.
    """
    later = [one.name for one in _held if one > rank]
    assert not later, f"the lock {rank.name} must be taken before {', '.join(later)}: see snapmirror.storage.locks"
    _take(attempt, pause)
    _held.append(rank)
    try:
        yield
    finally:
        _held.remove(rank)


def _take(attempt: Callable[[], Refusal | None], pause: float) -> None:
    began, told = time.monotonic(), False
    while (refusal := attempt()) is not None:
        if time.monotonic() - began >= refusal.wait:
            raise refusal.error()
        if refusal.notice is not None:
            if not told:
                log.log(refusal.level, "%s", refusal.notice or f"{refusal.error().message}; waiting for it")
                told = True
            interrupts.check()  # the logging module swallows an interruption that comes while it writes
        time.sleep(pause)


def exclusive(file: IO[bytes], what: str, patience: float) -> Refusal | None:
    """The attempt for an exclusive lock on `file`: only one program at a time may open what it guards.

    It waits `patience` seconds for another snapmirror, such as a `find`, which ends by itself. The refusal is a
    TakenError, with exit code 10 for a snapmirror and 11 for any other program.
    """
    for _ in range(_LOOKS):
        if lockfile.take(file, fcntl.LOCK_EX):
            return None
        by = lockfile.holders(file.fileno())
        if is_near := "snapmirror" in by:
            break
    error = TakenError(what, by, is_near=is_near)
    return Refusal(lambda: error, patience if error.is_near else 0.0)


@contextmanager
def file_at(path: Path, *, is_private: bool = False, hint: str = "") -> Iterator[IO[bytes]]:
    """The lock file at `path`, open; it and its folder are made if they are missing, for their owner alone.

    `is_private`: an existing folder is closed to all others as well. Raises StorageError.
    """
    try:
        if is_private:
            lockfile.private_folder(path.parent)
        else:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = lockfile.opened(path)
    except OSError as error:
        raise StorageError(f"the lock file {path} cannot be made: {error.strerror}", hint=hint) from error
    with opened as file:
        yield file
