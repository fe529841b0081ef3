"""The view that an export serves: the store at another place, read-only, without snapmirror's own files.

A mirrored server may hold a link such as `../.snapmirror`, and file servers follow links. So files that must not be
read must not be there at all: in the view an empty folder is mounted over each `.snapmirror`, and an empty file over
the lock of a store that is a plain folder.

Everything of an export is below one folder that only root may enter: the view, and the server's files (its settings,
the hashes of passwords, its log). It is removed when the export ends; the next export, or a command that needs the
store, removes what a killed one has left. Runs no program itself.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snapmirror import lockfile
from snapmirror.errors import StorageError
from snapmirror.storage.encryption import RUNTIME_FOLDER
from snapmirror.tools import mount, samba
from snapmirror.tools.undo import undone_by

log = logging.getLogger("snapmirror.export")

_OPTIONS = ("ro", "nosuid", "nodev", "noexec")
_APART = "rprivate"  # otherwise mounts over the view would appear in the store itself, too
_OURS = ".snapmirror"  # in each mirror
_OPENED = "opened"  # a file
_OURS_AT_THE_TOP = re.compile(r"lost\+found|\.snapmirror.*")  # the lock, and leftovers of a self-test or a removal


def folder_of(store: Path) -> Path:
    """The folder of all that belongs to an export of this store while it is served."""
    return RUNTIME_FOLDER / f"export-{hashlib.sha256(os.fsencode(store)).hexdigest()[:12]}"


@contextmanager
def shown(store: Path, *, opened: bool, with_mounts: bool = False) -> Iterator[Path]:
    """Make the folder of an export, with the store's view in it; `with_mounts`: including mounts in the store.

    `opened`: the export has opened the store, so removing its leftovers includes closing the store. Raises
    StorageError.
    """
    folder = folder_of(store)
    with undone_by(lambda: release(store)):
        release(store)
        try:
            lockfile.private_folder(RUNTIME_FOLDER)
            lockfile.private_folder(folder)
            view_of(folder).mkdir(mode=0o700)
            empty, nothing = folder / "empty", folder / "nothing"
            empty.mkdir(mode=0o700)
            nothing.touch(mode=0o600)
            if opened:
                (folder / _OPENED).touch()
        except OSError as error:
            raise StorageError(f"{error.filename} cannot be made: {error.strerror}", hint="run it as root") from error
        mount.bind(store, view_of(folder), options=[*_OPTIONS, _APART], with_mounts=with_mounts)
        for place in _ours_in(view_of(folder)):
            mount.bind(empty if place.is_dir() else nothing, place, options=_OPTIONS)
        yield folder


def view_of(folder: Path) -> Path:
    """The store as the export shows it."""
    return folder / "history"


def was_opened(store: Path) -> bool:
    """Whether a killed export has left the store open."""
    return (folder_of(store) / _OPENED).exists()


def release(store: Path) -> None:
    """Remove what is left of an export of this store; the caller knows that none is running. Raises StuckError."""
    folder = folder_of(store)
    if os.geteuid() != 0 or not folder.exists():  # (nobody else can export)
        return
    samba.end(folder)
    for one in reversed(mount.mounts()):
        if one.target.is_relative_to(folder):
            mount.umount(one.target)
    shutil.rmtree(folder, ignore_errors=True)


def _ours_in(view: Path) -> Iterator[Path]:
    for place in sorted(view.iterdir()):
        if place.is_symlink():
            continue
        if _OURS_AT_THE_TOP.fullmatch(place.name):
            yield place
        elif (place / _OURS).is_dir():
            yield place / _OURS
