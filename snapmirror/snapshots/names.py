"""Changes names in a slot: unlink, link, make and remove folders, and set the attributes of folders.

This module never opens a file, and sets attributes of folders only: every other inode may belong to a sealed snapshot.
No name is ever reached through a symlink: the server chooses their targets. Without root even the owner of a read-only
folder cannot change its names: the folder is made writable, and gets its attributes back with all changed folders.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from snapmirror import process
from snapmirror.errors import DamageError
from snapmirror.snapshots.entry import is_inside, join, parent


class FolderAttributes(Struct, frozen=True):
    """The attributes of a folder, except its extended ones. Times are nanoseconds since 1970."""

    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int


class Tree:
    """A tree whose names are changed by relative paths. It remembers which folders it has found to be real ones."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)
        self._real: set[bytes] = {b"."}
        self._copies: dict[int, bytes] = {}  # of files that had the maximum number of names, by inode

    def at(self, path: bytes) -> bytes:
        """The absolute path. Raises NotADirectoryError or FileNotFoundError if a folder of the path is not a real one,
        and DamageError for a path that leads out of the tree."""
        if not is_inside(path):
            raise DamageError(f"{path!r} leaves the tree", hint="nothing was done with it; run 'snapmirror verify'")
        self._check(parent(path))
        return join(self.root, path)

    def _check(self, folder: bytes) -> None:
        if folder in self._real:
            return
        self._check(parent(folder))
        full = join(self.root, folder)
        if not stat.S_ISDIR(os.lstat(full).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), full)
        self._real.add(folder)

    def inode(self, path: bytes) -> int | None:
        """The inode of a name; None if there is none."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return os.lstat(self.at(path)).st_ino
        return None

    def link_count(self, path: bytes) -> int:
        """The number of names that the inode of a name has, wherever they are; 0 if there is none."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return os.lstat(self.at(path)).st_nlink
        return 0

    def is_folder(self, path: bytes) -> bool:
        """Whether it is a real folder, in real folders."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return stat.S_ISDIR(os.lstat(self.at(path)).st_mode)
        return False

    def is_file(self, path: bytes) -> bool:
        """Whether it is a regular file, in real folders."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return stat.S_ISREG(os.lstat(self.at(path)).st_mode)
        return False

    def unlink(self, path: bytes) -> None:
        """Remove a name, a folder with its content; absent is fine."""
        with suppress(FileNotFoundError, NotADirectoryError):
            full = self.at(path)
            try:
                os.unlink(full)
            except IsADirectoryError:
                self._remove_tree(path)
            except PermissionError:
                _writable(lambda: os.unlink(full), full)

    def link(self, source: bytes, path: bytes) -> bool:
        """Link the inode of `source` (absolute) to the name `path`; False if `path` got a copy.

        The number of names of an inode is limited (ext4: 65,000). Raises FileNotFoundError or NotADirectoryError if
        `source` is absent.
        """
        target = self.at(path)
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            self.unlink(path)
            os.link(source, target, follow_symlinks=False)
        except PermissionError:
            _writable(lambda: os.link(source, target, follow_symlinks=False), target)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            self._share_copy(source, target)
            return False
        return True

    def _share_copy(self, source: bytes, target: bytes) -> None:
        """Make names of one file share the copy, so that they stay names of one file."""
        inode = os.lstat(source).st_ino
        if (copy := self._copies.get(inode)) is not None:
            with suppress(OSError):  # it was moved since, or has the maximum number of names as well
                os.link(copy, target, follow_symlinks=False)
                return
        process.run(["cp", "--archive", "--reflink=auto", "--no-target-directory", "--", source, target])
        self._copies[inode] = target

    def replace(self, source: bytes, path: bytes) -> None:
        """Rename `source` (absolute) to `path`, in one step. Raises FileNotFoundError."""
        target = self.at(path)
        try:
            os.rename(source, target)
        except PermissionError:
            _writable(lambda: os.rename(source, target), target)

    def make_folder(self, path: bytes) -> None:
        """Make a folder, and all folders above it; anything else in their place is removed."""
        if path in self._real:
            return
        self.make_folder(parent(path))
        full = self.at(path)
        if not self.is_folder(path):
            self.unlink(path)
            try:
                os.mkdir(full, 0o700)
            except PermissionError:
                _writable(lambda: os.mkdir(full, 0o700), full)
        self._real.add(path)

    def remove_folder(self, path: bytes) -> None:
        """Remove a folder that should be empty, or what is in its place."""
        with suppress(FileNotFoundError, NotADirectoryError):
            full = self.at(path)
            self._real.discard(path)
            try:
                os.rmdir(full)
            except NotADirectoryError:
                self.unlink(path)
            except PermissionError:
                _writable(lambda: os.rmdir(full), full)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                self._remove_tree(path)

    def _remove_tree(self, path: bytes) -> None:
        remove_tree(self.at(path))
        below = path + b"/"
        self._real = {folder for folder in self._real if folder != path and not folder.startswith(below)}

    def attributes(self, path: bytes) -> FolderAttributes | None:
        """The attributes of a real folder, in real folders; None if there is none."""
        with suppress(FileNotFoundError, NotADirectoryError):
            is_ = os.lstat(self.at(path))
            if stat.S_ISDIR(is_.st_mode):
                return FolderAttributes(
                    stat.S_IMODE(is_.st_mode), is_.st_uid, is_.st_gid, is_.st_atime_ns, is_.st_mtime_ns
                )
        return None

    def set_attributes(self, path: bytes, wanted: FolderAttributes, xattrs: Mapping[str, bytes] | None = None) -> None:
        """Give a folder these attributes and extended attributes (including ACLs); None: it keeps its own."""
        actual = self.attributes(path)
        if actual is None:
            return
        full = self.at(path)
        if (wanted.uid, wanted.gid) != (actual.uid, actual.gid):
            os.chown(full, wanted.uid, wanted.gid)
        if xattrs is not None:
            set_xattrs(full, xattrs)
        if stat.S_IMODE(os.lstat(full).st_mode) != wanted.mode:  # an owner or an ACL may have changed it
            os.chmod(full, wanted.mode)
        os.utime(full, ns=(wanted.atime_ns, wanted.mtime_ns))

    @contextmanager
    def folder_kept(self, path: bytes) -> Iterator[None]:
        """A folder, whose names are changed meanwhile, has the attributes afterwards that it had before."""
        before = self.attributes(path)
        yield
        if before is not None:
            self.set_attributes(path, before)

    def copy_attributes(self, source: Tree, path: bytes) -> None:
        """Give a folder the owner, mode, extended attributes and times of the same folder in `source`."""
        if (wanted := source.attributes(path)) is not None:
            self.set_attributes(path, wanted, xattrs_of(source.at(path)))


def remove_tree(path: bytes | Path) -> None:
    """Remove a tree, whatever the modes of its folders; absent is fine."""

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


def _writable(change: Callable[[], None], path: bytes) -> None:
    """Make a change in the folder of `path` although its mode forbids it."""
    folder = os.path.dirname(path)
    os.chmod(folder, stat.S_IMODE(os.lstat(folder).st_mode) | stat.S_IRWXU)
    change()


def copy_xattrs(source: bytes, target: bytes) -> None:
    """Give a file or folder the extended attributes of another, and no others."""
    if (wanted := xattrs_of(source)) is not None:
        set_xattrs(target, wanted)


def xattrs_of(place: bytes) -> dict[str, bytes] | None:
    """The extended attributes of a file or folder, including ACLs; None if the file system has none."""
    names = _xattr_names(place)
    return None if names is None else {name: os.getxattr(place, name) for name in names}


def set_xattrs(target: bytes, wanted: Mapping[str, bytes]) -> None:
    """Give a file or folder these extended attributes, and no others, if the file system has them."""
    actual = _xattr_names(target)
    if actual is None:
        return
    for name in actual:
        if name not in wanted:
            os.removexattr(target, name)
    for name, value in wanted.items():
        if name not in actual or os.getxattr(target, name) != value:
            os.setxattr(target, name, value)


def _xattr_names(place: bytes) -> list[str] | None:
    try:  # XFS lists its ACLs twice; removing the first removes the other names
        return [name for name in os.listxattr(place) if not name.startswith("trusted.SGI_ACL_")]
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return None
        raise
