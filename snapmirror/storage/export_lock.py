"""The locks between the export, which keeps the store open for a long time, and commands that need it closed.

They are lock files beside that of the runs. A command that needs the store holds WANTED all the time; the export checks
that twice a second, closes what it has open and releases OPEN, which the command waits for and then holds as well. The
kernel releases the locks of a dead process, so a killed night does not block the export, nor a killed export the night.
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
_TURN_SECONDS = 300.0  # for the export to release the lock; it may just be opening the store, on a slow machine
_GRACE_SECONDS = 5.0  # a copy follows its night immediately: do not open the store in between


@contextmanager
def closed(config: Config) -> Iterator[None]:
    """Make the export close the store, and keep it closed. Without [export] there is nothing to do.

    What a killed export has left is removed.
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
    """Hold the lock shared: several commands may need the store closed, and have other locks among themselves."""
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
    """Whether a command needs the store closed."""
    return _is_held(config, "wanted", fcntl.LOCK_EX)


def is_exported(config: Config) -> bool:
    """Whether the export has the store open."""
    return _is_held(config, "open", fcntl.LOCK_SH)


@contextmanager
def opening(config: Config) -> Iterator[None]:
    """Wait until the export may open the store: no command has needed it closed for some seconds."""
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
    """Be the only export of the store. Raises LockedError when there is another one."""
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
    """Whether an export is running, even if it pauses."""
    return _is_held(config, "serving", fcntl.LOCK_SH)


def _path(config: Config, name: str) -> Path:
    return state_file(config, f".export-{name}.lock")


def _file(config: Config, name: str) -> AbstractContextManager[IO[bytes]]:
    return locks.file_at(_path(config, name), hint="set state_dir in [store], or run it as root")


def _is_held(config: Config, name: str, against: int) -> bool:
    """Whether another process has a lock that conflicts with this one. A missing file is not made."""
    try:
        if not _path(config, name).exists():
            return False
    except OSError as error:
        raise StorageError(f"{error.filename} cannot be looked at: {error.strerror}", hint="run it as root") from error
    with _file(config, name) as file:
        return not lockfile.take(file, against)
