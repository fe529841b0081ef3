"""Finds what an interrupted night has changed in the slot, by walking slot and newest snapshot side by side.

A snapshot keeps inode numbers and change times, so entries with both unchanged were not changed since; nothing is read.
Folders are repaired at once; other differences are only noted, since tonight's plan decides whether a file stays as a
start for rsync, or is restored from the snapshot.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

from msgspec import Struct, field

from snapmirror.snapshots.entry import join
from snapmirror.snapshots.names import Tree


class Stopped(Exception):  # noqa: N818
    """The run is ending; the slot is left as it is."""


class Survey(Struct):
    """The differences of the slot from the newest snapshot, which may be missing.

    `strangers` are names that the snapshot lacks, or has differently; `missing` names are in the snapshot only;
    `strange_folders` are not in the snapshot; the attributes of `touched` folders have changed.
    """

    strangers: dict[bytes, None] = field(default_factory=dict)
    missing: list[bytes] = field(default_factory=list)
    strange_folders: list[bytes] = field(default_factory=list)
    touched: list[bytes] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether the slot equals the snapshot."""
        return not (self.strangers or self.missing or self.strange_folders or self.touched)


def survey(tree: Path | None, slot: Path, stop: Event) -> Survey:
    """Examine the whole slot. Raises Stopped."""
    walk = _Walk(Tree(slot), Tree(tree) if tree else None, stop)
    walk.folder(b".", wanted=tree is not None)
    return walk.found


class _Walk:
    def __init__(self, here: Tree, there: Tree | None, stop: Event) -> None:
        self.here, self.there, self.stop = here, there, stop
        self.found = Survey()

    def folder(self, path: bytes, *, wanted: bool) -> None:
        """One folder of the slot; `wanted`: the snapshot has it too."""
        if self.stop.is_set():
            raise Stopped
        have = dict(_entries(self.here.root, path))
        want = dict(_entries(self.there.root, path)) if wanted and self.there else {}
        if wanted and self.there and not _same(join(self.here.root, path), join(self.there.root, path)):
            self.found.touched.append(path)
        below = b"" if path == b"." else path + b"/"
        for name, status in have.items():
            twin = want.get(name)
            if stat.S_ISDIR(status.st_mode):
                self._have_folder(below + name, twin)
            elif twin is None or not _is(status, twin):
                self.found.strangers[below + name] = None
        for name, twin in want.items():
            ours = have.get(name)
            if stat.S_ISDIR(twin.st_mode):
                if ours is None or not stat.S_ISDIR(ours.st_mode):
                    self.found.strangers.pop(below + name, None)
                    self.here.make_folder(below + name)
                self.folder(below + name, wanted=True)
            elif ours is None or stat.S_ISDIR(ours.st_mode):
                self.found.missing.append(below + name)

    def _have_folder(self, path: bytes, twin: os.stat_result | None) -> None:
        if twin is None:
            self.found.strange_folders.append(path)
            self.folder(path, wanted=False)
        elif not stat.S_ISDIR(twin.st_mode):
            self.here.remove_folder(path)


def _entries(root: bytes, folder: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    with os.scandir(join(root, folder)) as found:
        for one in found:
            yield one.name, one.stat(follow_symlinks=False)


def _is(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether it is the same inode, unchanged: no call can set a change time."""
    same = (one.st_ino, one.st_ctime_ns) == (other.st_ino, other.st_ctime_ns)
    return same and stat.S_IFMT(one.st_mode) == stat.S_IFMT(other.st_mode)


def _same(one: bytes, other: bytes) -> bool:
    with suppress(FileNotFoundError):
        return _is(os.lstat(one), os.lstat(other))
    return False
