"""The staging tree: rsync fills it, and what was planned, and nothing else, moves from there into the slot.

In the slot nearly every name leads to an inode of sealed snapshots, and a sender may send names that nobody asked for
(rsync 3.5.0 takes them inside a folder that was asked for). So rsync never works in the slot. The staging tree begins
empty but for files of its own that rsync goes on with: clones of old versions, and what an interrupted night has
fetched. A night asks `strays` what stands there unplanned before anything moves. Moving is renaming, a new folder with
all that is in it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import join, parent
from snapmirror.snapshots.manifest import PREFIX
from snapmirror.snapshots.names import FolderAttributes, Tree, remove_tree, xattrs_of
from snapmirror.snapshots.plan import Plan

_OTHER_KIND = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST})


def names(root: Path) -> Iterator[tuple[bytes, bool]]:
    """Every name below a folder, and whether it is a folder. Absent is empty. Nothing is looked up but folders."""
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


def files(root: Path) -> Iterator[tuple[int, int, list[bytes]]]:
    """The regular files below a folder: inode, number of links, and those of its names that stand here."""
    top = os.fsencode(root)
    found: dict[int, tuple[int, list[bytes]]] = {}
    for path, is_folder in names(root):
        if not is_folder:
            status = os.lstat(join(top, path))
            if stat.S_ISREG(status.st_mode):
                found.setdefault(status.st_ino, (status.st_nlink, []))[1].append(path)
    for inode, (links, paths) in found.items():
        yield inode, links, paths


def strays(root: Path, plan: Plan, landed: int, implied: Collection[bytes]) -> list[bytes]:
    """Names in the staging tree that were not planned.

    `landed` is the number of planned names that stand there, `implied` are further folders that lead to these. As long
    as the numbers agree, no name is compared.
    """
    if sum(1 for _ in names(root)) == landed + len(implied):
        return []
    planned = {entry.path_of(new) for _, new in plan.pairs() if new is not None}
    return sorted(path for path, _ in names(root) if path not in planned and path not in implied)


class Wanted:
    """Which files of an interrupted night a plan asks for: a file with one name if that is asked for on its own, one
    with several if just these are asked for as one group."""

    def __init__(self, plan: Plan) -> None:
        self._single = {entry.path_of(new) for _, new in plan.transfer if new is not None and new[:2] == b">f"}
        self._groups = {frozenset(entry.path_of(new) for _, new in group if new is not None) for group in plan.groups}

    def has(self, paths: Collection[bytes]) -> bool:
        """Whether the names of one file are asked for like that."""
        return frozenset(paths) in self._groups if len(paths) > 1 else next(iter(paths), b"") in self._single


def keep(old: Path, staging: Tree, wanted: Wanted) -> Iterator[bytes]:
    """Take over what is still wanted of the staging tree `old` of an interrupted night; return the names."""
    there = Tree(old)
    for _, links, paths in files(old):
        if links == len(paths) and wanted.has(paths):
            for path in paths:
                staging.make_folder(parent(path))
                move(there, staging, path)
                yield path


def move(source: Tree, target: Tree, path: bytes) -> bool:
    """Rename a name from one tree to the other, whatever stands there; False if it is absent in `source`.

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
    except PermissionError:  # without root: a folder that may not be written to, here or there, or one that moves
        _move_anyway(full, place)
    except OSError as error:
        if error.errno not in _OTHER_KIND:
            raise
        target.unlink(path)
        os.rename(full, place)
    return True


def _move_anyway(full: bytes, place: bytes) -> None:
    status = os.lstat(full)
    is_folder = stat.S_ISDIR(status.st_mode)
    for folder in (os.path.dirname(full), os.path.dirname(place), *([full] if is_folder else [])):
        os.chmod(folder, stat.S_IMODE(os.lstat(folder).st_mode) | stat.S_IRWXU)
    os.rename(full, place)
    if is_folder:
        os.chmod(place, stat.S_IMODE(status.st_mode))


def place(plan: Plan, staging: Path, slot: Path, kept: Collection[bytes]) -> set[bytes]:
    """Apply a plan to the slot, which equals the newest snapshot; return the names that got a copy instead of a link.

    Planned names come from the staging tree. One that is not there has vanished and goes, unless it is `kept`: then it
    stays as it is. The staging tree is gone afterwards.
    """
    placing = _Placing(Tree(staging), Tree(slot), kept)
    placing.remove(plan.delete)
    for _, new in plan.transfer:  # before anything is taken out of one
        if new is not None and new[1:2] == b"d":
            placing.put_folder(entry.path_of(new))
    for _, new in plan.pairs():
        if new is not None and new[1:2] != b"d":
            placing.put(entry.path_of(new))
    copies = {entry.path_of(new) for (_, new), of in plan.links if new is not None and not placing.link(of, new)}
    placing.finish()
    remove_tree(staging)
    return copies


class _Placing:
    """Planned names on their way from the staging tree into the slot."""

    def __init__(self, come: Tree, here: Tree, kept: Collection[bytes]) -> None:
        self.come, self.here, self.kept = come, here, kept
        self.moved: set[bytes] = set()  # folders that have come over with all that is in them
        self.own: dict[bytes, tuple[FolderAttributes, Mapping[str, bytes] | None]] = {}  # of folders that change

    def remove(self, lines: Iterable[bytes]) -> None:
        """Remove what is planned for deletion."""
        folders = []
        for line in lines:
            before = entry.parse(line[PREFIX:])
            if before.is_directory:
                folders.append(before.path)
            else:
                self.here.unlink(before.path)
        for path in reversed(folders):
            self.here.remove_folder(path)

    def put_folder(self, path: bytes) -> None:
        """Put one planned folder in its place. The folder that it lies in comes first."""
        if path != b"." and parent(path) in self.moved:
            self.moved.add(path)
        elif path == b"." or self.here.is_folder(path):
            if path not in self.kept:
                self._remember(self.come, path)
        else:
            self._take(path)
            if self.here.is_folder(path):
                self.moved.add(path)

    def put(self, path: bytes) -> None:
        """Put any other planned name in its place."""
        if parent(path) not in self.moved and path not in self.kept and not self._take(path):
            self.here.unlink(path)

    def _take(self, path: bytes) -> bool:
        try:
            return move(self.come, self.here, path)
        except (FileNotFoundError, NotADirectoryError):
            self.here.make_folder(parent(path))  # what leads there was not sent
            return move(self.come, self.here, path)

    def link(self, target: bytes, line: bytes) -> bool:
        """Give a name of the slot a further one; False where it got a copy."""
        path = entry.path_of(line)
        self.here.make_folder(parent(path))
        if parent(path) in self.moved and parent(path) not in self.own:
            self._remember(self.here, parent(path))
        self.here.unlink(path)
        return self.here.link(self.here.at(target), path)

    def _remember(self, tree: Tree, folder: bytes) -> None:
        if (attributes := tree.attributes(folder)) is not None:
            self.own[folder] = attributes, xattrs_of(tree.at(folder))

    def finish(self) -> None:
        """Give planned folders the attributes with which they came, after the last change in them."""
        for path, (attributes, xattrs) in self.own.items():
            self.here.set_attributes(path, attributes, xattrs)
