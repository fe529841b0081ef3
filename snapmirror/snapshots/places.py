"""The places of a mirror's history are what they must be: real folders and files, on the store's own device.

Whoever holds the share can change the file system in the image while it is closed: a symlink in the place of one of
our folders would lead what removes, writes and reads there to somewhere else, a pipe in the place of a file would keep
a night waiting. So whoever opens a history looks at every place first. (While the store is open nobody else writes to
it, and an image that is open for writing is mounted so that no symlink in it is followed at all.)
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
    """Look at the folder `root` of a mirror, in the store's folder, and at these places in it; absent is fine.

    So are the published snapshots `backup.N` looked at, and in `private`, which is snapmirror's own, every name.
    Raises ForeignError for a symlink, for what lies on another device, and for what is no folder, or no file.
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
    """The same for one place of a folder; of any device, if none is given."""
    status = folder_status(path)
    if status is not None and device is not None:
        _check_device(path, status, device)


def _check_device(path: Path, status: os.stat_result, device: int) -> None:
    if status.st_dev != device:
        raise ForeignError(path, "lies on another device than the store")
