"""What an export shows: the store at a place of its own, read-only, without what is snapmirror's own in it.

A mirrored server may hold a link such as `../.snapmirror`, and whoever serves files follows links. So what is not to be
read must not be there, by whatever way: in the view an empty folder lies over each `.snapmirror`, and an empty file
over the lock of a store that is a plain folder.

Everything of an export is below one folder, and only root may enter that: the view, and what the server keeps (its
settings, the hashes of passwords, its log). It is gone when the export ends; what a killed one leaves is taken away by
the next, or by whoever needs the store. Runs no program itself.
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
_APART = "rprivate"  # else what is laid over the view would lie over the store itself
_OURS = ".snapmirror"  # in each mirror
_OPENED = "opened"  # a file
_OURS_AT_THE_TOP = re.compile(r"lost\+found|\.snapmirror.*")  # the lock, and what a self-test or a removal has left


def folder_of(store: Path) -> Path:
    """Where everything is that belongs to an export of this store while it is served."""
    return RUNTIME_FOLDER / f"export-{hashlib.sha256(os.fsencode(store)).hexdigest()[:12]}"


@contextmanager
def shown(store: Path, *, opened: bool, with_mounts: bool = False) -> Iterator[Path]:
    """The folder of an export, with the store's view in it; `with_mounts`: and with what is mounted in the store.

    `opened`: the export has opened the store, so it is to be closed, by whoever takes away what is left. Raises
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
    """The store as it is shown."""
    return folder / "history"


def was_opened(store: Path) -> bool:
    """Whether an export that was killed has left the store open."""
    return (folder_of(store) / _OPENED).exists()


def release(store: Path) -> None:
    """Take away what is left of an export of this store; the caller knows that none is alive. Raises StuckError."""
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
