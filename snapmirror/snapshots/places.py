"""Checks the places of a mirror's history: they must be real folders and files, on the store's own device.

An attacker with access to the share can change the file system in the image while it is closed: a symlink in the place
of one of our folders would redirect removing, writing and reading to another place, a pipe in the place of a file would
block a night. So every place is checked when a history is opened. (While the store is open nobody else writes to it,
and an image that is open for writing is mounted so that no symlink in it is followed at all.)
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from snapmirror.files import ForeignError, folder_status, kind_of

_BACKUP = re.compile(r"backup\.\d+")


def check(root: Path, private: Path, folders: Iterable[Path], files: Iterable[Path]) -> None:
    """Check the folder `root` of a mirror, in the store's folder, and these places in it; absent is fine.

    The published snapshots `backup.N` are checked as well, and every name in `private`, which is snapmirror's own.
    Raises ForeignError for a symlink, another device, and for what is not a folder, or not a file.
    """
    device = root.parent.stat().st_dev
    check_folder(root, device)
    check_folder(private, device)
    known = {**dict.fromkeys(folders, stat.S_ISDIR), **dict.fromkeys(files, stat.S_ISREG)}
    for folder in (root, private):
        with suppress(FileNotFoundError, PermissionError), os.scandir(folder) as found:  # (the latter is told later)
            for one in found:
                path = Path(one.path)
                if folder == root and _BACKUP.fullmatch(one.name):
                    known[path] = stat.S_ISDIR
                elif folder == private:
                    known.setdefault(path, stat.S_ISDIR if one.is_dir(follow_symlinks=False) else stat.S_ISREG)
    for path, is_right in known.items():
        with suppress(FileNotFoundError, PermissionError):
            status = path.lstat()
            if not is_right(status.st_mode):
                wanted = "a folder" if is_right is stat.S_ISDIR else "a file"
                raise ForeignError(path, f"is {kind_of(status.st_mode)}, not {wanted}")
            _check_device(path, status, device)


def check_folder(path: Path, device: int | None = None) -> None:
    """Check one folder; on any device, if none is given."""
    status = folder_status(path)
    if status is not None and device is not None:
        _check_device(path, status, device)


def _check_device(path: Path, status: os.stat_result, device: int) -> None:
    if status.st_dev != device:
        raise ForeignError(path, "lies on another device than the store")
