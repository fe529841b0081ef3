"""The state folder: it holds the files of a store that are not in the store itself. Runs no program.

These are the lock of its runs (of an image or a pool), the locks of the export, and the state kept between runs
(report, status, names, log of the nights). Every store has its own files, so several stores may share a folder.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from contextlib import suppress
from pathlib import Path

from snapmirror import files, machine
from snapmirror.config import Config
from snapmirror.errors import StorageError


def make(config: Config) -> None:
    """Make the state folder if it is missing. Raises StorageError, also where it is another user's.

    Made by root for the store of a user, it is that user's, whose nights could not go on otherwise.
    """
    folder = config.store.state_dir
    try:
        if os.geteuid() == 0 and config.is_plain and not folder.exists():
            _make_for(config.store.path, folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        owner = folder.stat().st_uid
    except OSError as error:
        raise StorageError(
            f"the folder {folder} for locks and reports cannot be made: {error.strerror}",
            hint="set state_dir in [store]",
        ) from error
    if owner != os.geteuid() and not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(
            f"the folder {folder} for locks and reports belongs to {machine.user(owner)}, and this is "
            f"{machine.user(os.geteuid())}, who cannot write there",
            hint=f"as root: chown -R {machine.login(os.geteuid())} {shlex.quote(str(folder))}; or set state_dir in "
            "[store]",
        )


def _make_for(store: Path, folder: Path) -> None:
    """Make the folder for the owner of the store, if that one has the folder above it as well. Raises OSError."""
    with suppress(FileNotFoundError), files.folder(folder.parent) as where:
        above = os.fstat(where)
        if above.st_uid == 0 or store.stat().st_uid != above.st_uid:
            return
        os.mkdir(folder.name, 0o700, dir_fd=where)
        made = os.open(folder.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=where)
        try:
            with os.scandir(made) as found:  # that user could have put another folder of root's in its place
                if next(found, None) is None:
                    os.fchown(made, above.st_uid, above.st_gid)
        finally:
            os.close(made)


def state_file(config: Config, suffix: str) -> Path:
    """A file of this store in the state folder, named after the image if there is one, else after the folder."""
    what = str(config.image.file if config.image else config.store.path)
    return config.store.state_dir / f"{hashlib.sha256(os.fsencode(what)).hexdigest()[:16]}{suffix}"
