"""Changing names in a slot: unlink, link, make and remove folders, and give folders the attributes they should have.

Nothing here opens a file or sets an attribute of anything but a folder: every other inode may be a sealed snapshot's.
Without root a read-only folder refuses changes to its names even to its owner: it is made writable, and gets its
attributes back with all the folders that were touched.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from snapmirror import process
from snapmirror.snapshots.entry import join


def writable(change: Callable[[], None], path: bytes) -> None:
    """Make a change in the folder of `path`; where the folder's mode forbids it, change the mode first."""
    try:
        change()
    except PermissionError:
        folder = os.path.dirname(path)
        os.chmod(folder, stat.S_IMODE(os.lstat(folder).st_mode) | stat.S_IRWXU)
        change()


def unlink(path: bytes) -> None:
    """Remove a name that is no folder; absent is fine."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        return
    except IsADirectoryError:
        remove_tree(path)
    except PermissionError:
        with suppress(FileNotFoundError):
            writable(lambda: os.unlink(path), path)


def link(source: bytes, target: bytes) -> bool:
    """Give the inode of `source` the name `target`; False if it has as many names as its file system allows (ext4: 65,000).

    Then `target` is a copy. Raises FileNotFoundError if `source` is absent.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EEXIST:
            unlink(target)
            os.link(source, target, follow_symlinks=False)
        elif error.errno == errno.EMLINK:
            process.run(["cp", "--archive", "--reflink=auto", "--no-target-directory", "--", source, target])
            return False
        elif error.errno in {errno.EACCES, errno.EPERM}:
            writable(lambda: os.link(source, target, follow_symlinks=False), target)
        else:
            raise
    return True


def make_folder(path: bytes) -> None:
    """Make a folder, with all that lead to it; a file of its name gives way."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            unlink(path)
            os.mkdir(path, 0o700)
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
        os.mkdir(path, 0o700)
    except PermissionError:
        writable(lambda: os.mkdir(path, 0o700), path)


def remove_folder(path: bytes) -> None:
    """Remove a folder that should be empty, and what a stranger put into it."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        return
    except PermissionError:
        writable(lambda: os.rmdir(path), path)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        remove_tree(path)


def remove_tree(path: bytes | Path) -> None:
    """Remove a tree, whatever the modes of its folders."""

    def unlock(function: Callable[..., object], where: bytes | str, _: object) -> None:
        name = os.fsencode(where)
        for folder in (os.path.dirname(name), name):
            with suppress(OSError):
                if stat.S_ISDIR(os.lstat(folder).st_mode):
                    os.chmod(folder, 0o700)
        if function in (os.unlink, os.rmdir):
            with suppress(FileNotFoundError):
                function(where)
        else:
            shutil.rmtree(where)

    with suppress(FileNotFoundError):
        shutil.rmtree(path, onerror=unlock)


def copy_folder_attributes(source_root: bytes, target_root: bytes, path: bytes) -> None:
    """Give a folder owner, mode, extended attributes (ACLs are among them) and times of its twin in another tree."""
    source, target = join(source_root, path), join(target_root, path)
    try:
        wanted = os.lstat(source)
        actual = os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(wanted.st_mode) or not stat.S_ISDIR(actual.st_mode):
        return
    if (wanted.st_uid, wanted.st_gid) != (actual.st_uid, actual.st_gid):
        os.chown(target, wanted.st_uid, wanted.st_gid)
    _copy_xattrs(source, target)
    if stat.S_IMODE(os.lstat(target).st_mode) != stat.S_IMODE(wanted.st_mode):
        os.chmod(target, stat.S_IMODE(wanted.st_mode))
    os.utime(target, ns=(wanted.st_atime_ns, wanted.st_mtime_ns))


def _copy_xattrs(source: bytes, target: bytes) -> None:
    try:
        wanted, actual = os.listxattr(source), os.listxattr(target)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return
        raise
    for name in actual:
        if name not in wanted:
            os.removexattr(target, name)
    for name in wanted:
        value = os.getxattr(source, name)
        if name not in actual or os.getxattr(target, name) != value:
            os.setxattr(target, name, value)
