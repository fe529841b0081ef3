"""Whose turn it is with the store: the export's, which has it open for a long time, or anybody's who needs it closed.

Two lock files. Who wants the store holds WANTED for as long as it takes; the export looks at that twice a second,
closes what it has open and lets go of OPEN, which the other one waits for and holds as well. The kernel lets go of a
dead one's, so a night that is killed does not keep the history away, nor a killed export the night. Runs no program.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from snapmirror import interrupts
from snapmirror.config import Config
from snapmirror.errors import LockedError, StorageError
from snapmirror.storage.encryption import RUNTIME_FOLDER

log = logging.getLogger("snapmirror.turns")

_PAUSE_SECONDS = 0.1
_TURN_SECONDS = 300.0  # that the export may take to let go; it may just be opening the store, on a slow machine
_GRACE_SECONDS = 5.0  # a copy follows its night at once: the store is not opened in between


@contextmanager
def closed(config: Config) -> Iterator[None]:
    """The export has closed the store, and leaves it closed. Without [export] there is nobody to ask."""
    if config.export is None:
        yield
        return
    with _file(config, "wanted") as wanted, _file(config, "open") as opened:
        fcntl.flock(wanted, fcntl.LOCK_SH)  # several may want it closed; among them they have locks of their own
        deadline = time.monotonic() + _TURN_SECONDS
        asked = False
        while not _try(opened, fcntl.LOCK_SH):
            if not asked:
                log.info("waiting for the export to close the store")
                asked = True
            if time.monotonic() >= deadline:
                raise StorageError(
                    "the export does not close the store", hint="stop it: 'systemctl stop snapmirror-export'"
                )
            interrupts.check()
            time.sleep(_PAUSE_SECONDS)
        yield


def is_wanted(config: Config) -> bool:
    """Whether anybody needs the store closed."""
    with _file(config, "wanted") as wanted:
        return not _try(wanted, fcntl.LOCK_EX)


def is_exported(config: Config) -> bool:
    """Whether the export has the store open."""
    with _file(config, "open") as opened:
        return not _try(opened, fcntl.LOCK_SH)


@contextmanager
def opening(config: Config) -> Iterator[None]:
    """The export may open the store: nobody has wanted it closed for some seconds."""
    with _file(config, "open") as opened:
        quiet_since = time.monotonic() - _GRACE_SECONDS
        while True:
            if is_wanted(config):
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= _GRACE_SECONDS and _try(opened, fcntl.LOCK_EX):
                if not is_wanted(config):
                    break
                fcntl.flock(opened, fcntl.LOCK_UN)
            time.sleep(_PAUSE_SECONDS)
        yield


@contextmanager
def serving(config: Config) -> Iterator[None]:
    """This is the one export of the store. Raises LockedError when there is one already."""
    with _file(config, "serving") as file:
        if not _try(file, fcntl.LOCK_EX):
            raise LockedError("the history of this store is exported already", hint="'snapmirror export status' tells")
        yield


def is_serving(config: Config) -> bool:
    """Whether there is an export, be it that it pauses."""
    with _file(config, "serving") as file:
        return not _try(file, fcntl.LOCK_SH)


def folder_of(config: Config) -> Path:
    """Where everything is kept that belongs to the export of this store, until the machine is restarted."""
    mark = hashlib.sha256(os.fsencode(config.store.path)).hexdigest()[:12]
    folder = RUNTIME_FOLDER / f"export-{mark}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be made: {error.strerror}", hint="a store that is exported needs root"
        ) from error
    return folder


@contextmanager
def _file(config: Config, name: str) -> Iterator[IO[bytes]]:
    with (folder_of(config) / f"{name}.lock").open("ab") as file:
        yield file


def _try(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
