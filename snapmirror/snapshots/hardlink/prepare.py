"""Makes the slot: a tree that is equal to the newest snapshot, and shares every inode except the folders'.

It has three ways: `copied` (cp --archive --link) while nothing has expired yet; `recycled` from an expired snapshot,
whose differences are known from the nights since or from two manifests; and `repaired`, by walking both trees, when a
run has failed in between and the state is unknown. All three may be interrupted at any point: the next run repairs what
they leave.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event
from typing import Protocol

from msgspec import Struct, field

from snapmirror import process
from snapmirror.errors import StorageError
from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import Entry, join, parent
from snapmirror.snapshots.hardlink.differing import Differing
from snapmirror.snapshots.manifest import taken_apart
from snapmirror.snapshots.names import FolderAttributes, Tree

_POLL_SECONDS = 0.1


class Stopped(Exception):  # noqa: N818
    """The run is ending; the slot is left as it is, to be repaired."""


class Known(Protocol):
    """Facts about an entry that is new since the snapshot of a number, known without reading the newest tree."""

    def folder(self, number: int, wanted: Entry) -> FolderAttributes | None:
        """The attributes of a folder that has no extended ones; None if they are not known."""

    def link(self, number: int, wanted: Entry, slot: Tree) -> bool:
        """Link an entry's inode to its name in the slot; False if the inode is not known."""


class Prepared(Struct):
    """Facts about a slot that is ready.

    `copies` are names whose inode is a copy because the old one has the maximum number of names. `leftovers` are names
    of an interrupted night's files, by inode: no snapshot knows these inodes. `strange_folders` came with them. `lost`
    counts names that the newest snapshot lacks although its manifest lists them.
    """

    copies: set[bytes] = field(default_factory=set)
    leftovers: dict[int, list[bytes]] = field(default_factory=dict)
    strange_folders: list[bytes] = field(default_factory=list)
    lost: int = 0

    @property
    def touched(self) -> Iterator[bytes]:
        """The folders of leftovers: an interrupted night has changed them."""
        yield from (parent(path) for paths in self.leftovers.values() for path in paths)
        yield from map(parent, self.strange_folders)


def copied(newest: Path, slot: Path, stop: Event) -> Prepared:
    """Make the slot as a copy of the newest snapshot's names."""
    argv: list[process.Argument] = ["cp", "--archive", "--link", "--no-target-directory", "--", newest, slot]
    with process.running(argv, capture=False) as child:
        while True:
            try:
                code = child.wait(_POLL_SECONDS)
                break
            except process.ProgramTimeout:
                if stop.is_set():
                    raise Stopped from None
        complaint = child.stderr_tail()
    if code == 0:
        return Prepared()
    if b"Too many links" in complaint:
        return repaired(newest, slot, stop)
    last = complaint.decode("utf-8", "backslashreplace").strip().splitlines()[-1:] or [f"exit code {code}"]
    raise StorageError(f"the new slot could not be made: {last[0]}", hint="look at the space and the log of the store")


def recycled(differing: Differing, tree: Path, slot: Path, known: Known, stop: Event) -> Prepared:
    """Turn the slot, which is the expired snapshot's tree, into the newest's: only differing entries are changed.

    Facts that are `known` are not looked up in the newest tree. Raises BadLine before anything is changed.
    """
    prepared = Prepared()
    gone = [(entry.inside(name), name.endswith(b"/")) for name in differing.gone]
    come = [taken_apart(line) for line in differing.new]
    had = {path for path, is_directory in gone if is_directory}
    has = {after.path for _, after in come if after.is_directory}
    here, there = Tree(slot), Tree(tree)
    own: dict[bytes, FolderAttributes | None] = {}  # of folders in which a name changes, before the change
    told: dict[bytes, FolderAttributes | None] = {}  # of folders that differ themselves, as far as known

    def touch(path: bytes) -> None:
        if (folder := parent(path)) not in own:
            own[folder] = here.attributes(folder)

    for path, is_directory in gone:
        _check(stop)
        if not is_directory:
            touch(path)
            here.unlink(path)
    for path in sorted(had - has, reverse=True):
        touch(path)
        here.remove_folder(path)
    for number, after in come:
        _check(stop)
        touch(after.path)
        if after.is_directory:
            told[after.path] = known.folder(number, after)
            if after.path not in had:
                here.make_folder(after.path)
            continue
        if known.link(number, after, here):
            continue
        try:
            if not here.link(there.at(after.path), after.path):
                prepared.copies.add(after.path)
        except (FileNotFoundError, NotADirectoryError):
            prepared.lost += 1
    moved = set(map(parent, _united(here, there, prepared)))
    for path in sorted(own.keys() | told.keys() | moved):
        if path in told and (attributes := told[path]) is not None:
            here.set_attributes(path, attributes, xattrs={})
        elif path not in told and (attributes := own.get(path)) is not None:
            here.set_attributes(path, attributes)
        else:
            here.copy_attributes(there, path)
    return prepared


def repaired(tree: Path | None, slot: Path, stop: Event) -> Prepared:
    """Turn the slot, in any state, into the newest snapshot's tree, but keep files of an interrupted night.

    A file is such a leftover if none of its names is in a snapshot: all of them are found in the slot. Without a
    snapshot (`tree` None) everything in the slot is a leftover.
    """
    repair = _Repair(Tree(slot), Tree(tree) if tree else None, stop)
    repair.folder(b".", wanted=tree is not None)
    fixes: list[bytes] = []
    for inode, (links, paths) in repair.strangers.items():
        if paths and links == len(paths):
            repair.prepared.leftovers[inode] = paths
        else:
            fixes.extend(paths)
    restore(tree, slot, fixes, repair.prepared)
    if repair.there is not None:
        _united(repair.here, repair.there, repair.prepared)
        for path in repair.folders:
            repair.here.copy_attributes(repair.there, path)
    return repair.prepared


def restore(tree: Path | None, slot: Path, paths: Iterable[bytes], prepared: Prepared) -> None:
    """Give names in the slot the inode that they have in the newest snapshot, or remove them if they have none."""
    here, there = Tree(slot), Tree(tree) if tree else None
    for path in paths:
        here.unlink(path)
        if there is None or there.inode(path) is None or there.is_folder(path):
            continue
        if not here.link(there.at(path), path):
            prepared.copies.add(path)


def _united(here: Tree, there: Tree, prepared: Prepared) -> list[bytes]:
    """If an inode could not take all names of a file, link those that it took to the copy, too; return these names.

    Walks the newest snapshot, but only in the rare night in which that happens: the next one knows the new inode.
    """
    copies = {inode: path for path in sorted(prepared.copies) if (inode := there.inode(path)) is not None}
    moved = []
    if copies:
        for path, inode in _inodes(there):
            if inode in copies and path not in prepared.copies and here.inode(path) == inode:
                here.link(here.at(copies[inode]), path)
                moved.append(path)
    prepared.copies.update(moved)
    return moved


def _inodes(tree: Tree) -> Iterator[tuple[bytes, int]]:
    folders = [b"."]
    while folders:
        folder = folders.pop()
        below = b"" if folder == b"." else folder + b"/"
        for name, found in _entries(join(tree.root, folder)).items():
            if found.is_dir(follow_symlinks=False):
                folders.append(below + name)
            else:
                yield below + name, found.inode()


class _Repair:
    """A walk over slot and snapshot side by side. Inode numbers come with the names: right ones cost nothing.

    `strangers` are files of the slot that the snapshot lacks under that name: by inode, the number of links and the
    names found.
    """

    def __init__(self, here: Tree, there: Tree | None, stop: Event) -> None:
        self.here, self.there, self.stop = here, there, stop
        self.prepared = Prepared()
        self.strangers: dict[int, tuple[int, list[bytes]]] = {}
        self.folders: list[bytes] = []

    def folder(self, path: bytes, *, wanted: bool) -> None:
        """One folder of the slot; `wanted`: the snapshot has it too."""
        _check(self.stop)
        have = _entries(join(self.here.root, path))
        want = _entries(join(self.there.root, path)) if wanted and self.there else {}
        if wanted:
            self.folders.append(path)
        below = b"" if path == b"." else path + b"/"
        for name, found in have.items():
            twin = want.get(name)
            if found.is_dir(follow_symlinks=False):
                if twin is None:
                    self.prepared.strange_folders.append(below + name)
                    self.folder(below + name, wanted=False)
                elif not twin.is_dir(follow_symlinks=False):
                    self.here.remove_folder(below + name)
                    self._link(below + name, twin)
            elif twin is None or twin.inode() != found.inode():
                status = found.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    self.strangers.setdefault(status.st_ino, (status.st_nlink, []))[1].append(below + name)
                else:
                    self.here.unlink(below + name)
                    self._link(below + name, twin)
        for name, twin in want.items():
            if twin.is_dir(follow_symlinks=False):
                ours = have.get(name)
                if ours is None or not ours.is_dir(follow_symlinks=False):
                    self._forget(below + name)
                    self.here.make_folder(below + name)
                self.folder(below + name, wanted=True)
            elif name not in have:
                self._link(below + name, twin)

    def _forget(self, path: bytes) -> None:
        """Forget a file in a folder's place, and its other names: it is not worth keeping."""
        for inode, (_, paths) in self.strangers.items():
            if path in paths:
                self.strangers[inode] = (0, [one for one in paths if one != path])
                return

    def _link(self, path: bytes, twin: os.DirEntry[bytes] | None) -> None:
        """Give a name of the slot the snapshot's inode."""
        if self.there is None or twin is None or twin.is_dir(follow_symlinks=False):
            return
        if not self.here.link(self.there.at(path), path):
            self.prepared.copies.add(path)


def _entries(folder: bytes) -> dict[bytes, os.DirEntry[bytes]]:
    try:
        with os.scandir(folder) as found:
            return {one.name: one for one in found}
    except PermissionError:
        os.chmod(folder, 0o700)
        with os.scandir(folder) as found:
            return {one.name: one for one in found}


def _check(stop: Event) -> None:
    if stop.is_set():
        raise Stopped
