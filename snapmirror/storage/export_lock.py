"""The locks between the export, which has the store open for a long time, and whoever needs the store closed.

Lock files, beside that of the runs. Who wants the store holds WANTED for as long as it takes; the export looks at that
twice a second, closes what it has open and lets go of OPEN, which the other one waits for and holds as well. The kernel
lets go of a dead one's, so a night that is killed does not keep the history away, nor a killed export the night.
"""

from __future__ import annotations

import fcntl
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from snapmirror import lockfile
from snapmirror.config import Config
from snapmirror.errors import LockedError, StorageError
from snapmirror.state_folder import state_file
from snapmirror.storage import locks, view
from snapmirror.storage.locks import Rank, Refusal

_PAUSE_SECONDS = 0.1
_TURN_SECONDS = 300.0  # that the export may take to let go; it may just be opening the store, on a slow machine
_GRACE_SECONDS = 5.0  # a copy follows its night at once: the store is not opened in between


@contextmanager
def closed(config: Config) -> Iterator[None]:
    """The export has closed the store, and leaves it closed. Without [export] there is nobody to ask.

    What an export that was killed has left is taken away.
    """
    if config.export is None:
        if not is_serving(config):
            view.release(config.store.path)
        yield
        return
    deadline = time.monotonic() + _TURN_SECONDS
    with (
        _file(config, "wanted") as wanted,
        _file(config, "open") as opened,
        _shared(Rank.WANTED, wanted, deadline),
        _shared(Rank.OPEN, opened, deadline),
    ):
        view.release(config.store.path)
        yield


def _shared(rank: Rank, file: IO[bytes], deadline: float) -> AbstractContextManager[None]:
    """The lock, shared: several may want the store closed, and have locks of their own among them."""
    seconds = deadline - time.monotonic()

    def attempt() -> Refusal | None:
        if lockfile.take(file, fcntl.LOCK_SH):
            return None
        return Refusal(lambda: _not_closed(file), seconds, "waiting for the export to close the store")

    return locks.held(rank, attempt, pause=_PAUSE_SECONDS)


def _not_closed(file: IO[bytes]) -> StorageError:
    return StorageError(
        f"the export does not close the store: {lockfile.holders(file.fileno())} holds it",
        hint="stop it: 'systemctl stop snapmirror-export'",
    )


def is_wanted(config: Config) -> bool:
    """Whether anybody needs the store closed."""
    return _is_held(config, "wanted", fcntl.LOCK_EX)


def is_exported(config: Config) -> bool:
    """Whether the export has the store open."""
    return _is_held(config, "open", fcntl.LOCK_SH)


@contextmanager
def opening(config: Config) -> Iterator[None]:
    """The export may open the store: nobody has wanted it closed for some seconds."""
    quiet_since = time.monotonic() - _GRACE_SECONDS

    def attempt(opened: IO[bytes]) -> Refusal | None:
        nonlocal quiet_since
        if is_wanted(config):
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= _GRACE_SECONDS and lockfile.take(opened, fcntl.LOCK_EX):
            if not is_wanted(config):
                return None
            lockfile.let_go(opened)
        return Refusal(lambda: _not_closed(opened), wait=math.inf, notice=None)

    with _file(config, "open") as file, locks.held(Rank.OPEN, lambda: attempt(file), pause=_PAUSE_SECONDS):
        yield


@contextmanager
def serving(config: Config) -> Iterator[None]:
    """This is the one export of the store. Raises LockedError when there is one already."""
    with _file(config, "serving") as file, locks.held(Rank.SERVING, lambda: _only(file)):
        yield


def _only(file: IO[bytes]) -> Refusal | None:
    if lockfile.take(file, fcntl.LOCK_EX):
        return None
    by = lockfile.holders(file.fileno())
    return Refusal(
        lambda: LockedError(f"the history of this store is exported already, by {by}", hint="stop that one first")
    )


def is_serving(config: Config) -> bool:
    """Whether there is an export, be it that it pauses."""
    return _is_held(config, "serving", fcntl.LOCK_SH)


def _path(config: Config, name: str) -> Path:
    return state_file(config, f".export-{name}.lock")


def _file(config: Config, name: str) -> AbstractContextManager[IO[bytes]]:
    return locks.file_at(_path(config, name), hint="set state_dir in [store], or run it as root")


def _is_held(config: Config, name: str, against: int) -> bool:
    """Whether anybody has a lock that is in the way of this one. Who only looks makes no file."""
    try:
        if not _path(config, name).exists():
            return False
    except OSError as error:
        raise StorageError(f"{error.filename} cannot be looked at: {error.strerror}", hint="run it as root") from error
    with _file(config, name) as file:
        return not lockfile.take(file, against)
