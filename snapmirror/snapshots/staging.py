"""The staging folder: rsync fills trees in it, and only planned names are moved from there into the slot.

In the slot nearly every name leads to an inode of sealed snapshots, and a sender may send names that were not requested
(rsync 3.5.0 accepts them inside a requested folder). So rsync never works in the slot. Each rsync of a night has a tree
of its own, which is empty at first except for files with which it continues: clones of old versions, and files of an
interrupted night. `strays` finds unrequested names before anything is moved. Moving is renaming; a new folder is
renamed with its content.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import join, parent
from snapmirror.snapshots.lines import Line, Numbered, is_single_file, unnumbered
from snapmirror.snapshots.names import FolderAttributes, Tree, remove_tree, xattrs_of
from snapmirror.snapshots.plan import Plan

WAITING, KEPT = "waiting", "kept"
"""Trees that do not belong to an rsync: see `slot.Target`."""
TMP, PARTIAL = "tmp", "partial"
"""Folders that are not trees: for files that rsync is receiving, and for partial files."""
_OTHER_KIND = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST})


def names(root: Path) -> Iterator[tuple[bytes, bool]]:
    """Every name below a folder, and whether it is a folder. Absent is empty. Only folders are looked up."""
    top = os.fsencode(root)
    folders = [b"."]
    while folders:
        folder = folders.pop()
        below = b"" if folder == b"." else folder + b"/"
        with suppress(FileNotFoundError), os.scandir(join(top, folder)) as found:
            for one in found:
                is_folder = one.is_dir(follow_symlinks=False)
                if is_folder:
                    folders.append(below + one.name)
                yield below + one.name, is_folder


def trees(staging: Path) -> list[Path]:
    """The trees in a staging folder, the newest last. Absent is empty."""
    with suppress(FileNotFoundError), os.scandir(staging) as found:
        folders = [one for one in found if one.is_dir(follow_symlinks=False) and one.name not in (TMP, PARTIAL)]
        return sorted(Path(one.path) for one in folders)
    return []


def remove_trees(staging: Path) -> None:
    """Remove all trees."""
    for tree in trees(staging):
        remove_tree(tree)


def files(root: Path) -> Iterator[tuple[int, int, list[bytes]]]:
    """The regular files below a folder: inode, number of links, and the names here."""
    top = os.fsencode(root)
    found: dict[int, tuple[int, list[bytes]]] = {}
    for path, is_folder in names(root):
        if not is_folder:
            status = os.lstat(join(top, path))
            if stat.S_ISREG(status.st_mode):
                found.setdefault(status.st_ino, (status.st_nlink, []))[1].append(path)
    for inode, (links, paths) in found.items():
        yield inode, links, paths


def strays(root: Path, present: Collection[bytes], missing: Iterable[bytes]) -> list[bytes]:
    """The names in a tree that were not requested. `present` are the requested ones that are there, `missing` those
    that are not.

    Folders above either do not count: rsync makes them for a file that it then cannot read. If the numbers agree, no
    name is compared.
    """
    known = _with_folders(present)
    if sum(1 for _ in names(root)) == len(known):
        return []
    ways = _with_folders(parent(path) for path in missing)
    return sorted(path for path, is_folder in names(root) if path not in known and not (is_folder and path in ways))


def _with_folders(paths: Iterable[bytes]) -> set[bytes]:
    """These names, and the folders above them, without the root."""
    known = {path for path in paths if path != b"."}
    for path in list(known):
        while (path := parent(path)) != b"." and path not in known:
            known.add(path)
    return known


class Arrived(Struct, frozen=True):
    """The result of one rsync: a tree, and the planned folders in it that have their attributes."""

    tree: Path
    folders: frozenset[bytes]


class Wanted:
    """The files of an interrupted night that a plan requests: a file with one name if that is requested on its own, one
    with several if exactly these are requested as one group."""

    def __init__(self, plan: Plan) -> None:
        self._single = {entry.path_of(new) for _, new in plan.transfer if new is not None and is_single_file(new)}
        self._groups = {frozenset(entry.path_of(new) for _, new in group if new is not None) for group in plan.groups}

    def has(self, paths: Collection[bytes]) -> bool:
        """Whether the names of one file are requested like that."""
        return frozenset(paths) in self._groups if len(paths) > 1 else next(iter(paths), b"") in self._single


def keep(old: Iterable[Path], staging: Tree, wanted: Wanted) -> Iterator[bytes]:
    """Move files that are still requested from the trees `old` of an interrupted night; return their names."""
    for tree in old:
        there = Tree(tree)
        for _, links, paths in files(tree):
            if links == len(paths) and wanted.has(paths):
                for path in paths:
                    carry(there, staging, path)
                    yield path


def move(source: Tree, target: Tree, path: bytes) -> bool:
    """Rename a name from one tree to the other, replacing anything there; False if it is absent in `source`.

    Raises FileNotFoundError or NotADirectoryError if its folder is missing in `target`.
    """
    try:
        full = source.at(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    place = target.at(path)
    try:
        os.rename(full, place)
    except FileNotFoundError:
        return False
    except PermissionError:  # without root: a folder, here or there, or the moved one, is read-only
        _move_anyway(full, place)
    except OSError as error:
        if error.errno not in _OTHER_KIND:
            raise
        target.unlink(path)
        os.rename(full, place)
    return True


def carry(source: Tree, target: Tree, path: bytes) -> bool:
    """The same; makes its folder in `target` if that is missing."""
    target.make_folder(parent(path))
    return move(source, target, path)


def _move_anyway(full: bytes, place: bytes) -> None:
    status = os.lstat(full)
    is_folder = stat.S_ISDIR(status.st_mode)
    for folder in (os.path.dirname(full), os.path.dirname(place), *([full] if is_folder else [])):
        os.chmod(folder, stat.S_IMODE(os.lstat(folder).st_mode) | stat.S_IRWXU)
    os.rename(full, place)
    if is_folder:
        os.chmod(place, stat.S_IMODE(status.st_mode))


def place(plan: Plan, arrived: Sequence[Arrived], slot: Path, gone: Collection[bytes]) -> set[bytes]:
    """Apply a plan to the slot, which equals the newest snapshot; return the names that got a copy instead of a link.

    Names that have `arrived` are moved there; planned names that are `gone` are removed. All others stay unchanged.
    """
    placing = _Placing(Tree(slot))
    placing.remove(plan.delete)
    for path in gone:
        placing.here.unlink(path)
    for one in arrived:
        placing.take(one)
    copies = {entry.path_of(new) for (_, new), of in plan.links if new is not None and not placing.link(of, new)}
    placing.finish()
    return copies


class _Placing:
    """Moves planned names from staging trees into the slot."""

    def __init__(self, here: Tree) -> None:
        self.here = here
        self.own: dict[bytes, tuple[FolderAttributes, Mapping[str, bytes] | None]] = {}  # of changed folders

    def remove(self, lines: Iterable[Numbered]) -> None:
        """Remove names that are planned for deletion."""
        folders = []
        for line in lines:
            before = entry.parse(unnumbered(line))
            if before.is_directory:
                folders.append(before.path)
            else:
                self.here.unlink(before.path)
        for path in reversed(folders):
            self.here.remove_folder(path)

    def take(self, arrived: Arrived) -> None:
        """Move all of a tree: a folder that the slot lacks as a whole, the content of others."""
        come = Tree(arrived.tree)
        folders = [b"."]
        while folders:
            folder = folders.pop()
            if folder in arrived.folders:
                self._remember(come, folder)
            elif folder != b".":
                self._remember(self.here, folder)
            below = b"" if folder == b"." else folder + b"/"
            with os.scandir(come.at(folder)) as found:
                content = [(below + one.name, one.is_dir(follow_symlinks=False)) for one in found]
            for path, is_folder in content:
                if is_folder and self.here.is_folder(path):
                    folders.append(path)
                else:
                    move(come, self.here, path)

    def link(self, target: bytes, line: Line) -> bool:
        """Link a further name to a name of the slot; False if it got a copy."""
        path = entry.path_of(line)
        self.here.make_folder(parent(path))
        if parent(path) not in self.own:
            self._remember(self.here, parent(path))
        self.here.unlink(path)
        return self.here.link(self.here.at(target), path)

    def _remember(self, tree: Tree, folder: bytes) -> None:
        """Remember a folder's attributes before a name in it changes; those with which it arrived take precedence."""
        if (tree is not self.here or folder not in self.own) and (attributes := tree.attributes(folder)) is not None:
            self.own[folder] = attributes, xattrs_of(tree.at(folder))

    def finish(self) -> None:
        """Give folders the attributes with which they arrived, after the last change in them."""
        for path, (attributes, xattrs) in self.own.items():
            self.here.set_attributes(path, attributes, xattrs)
