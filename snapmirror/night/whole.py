"""A first night's transfer: everything comes in one recursive run, and is squared with the plan as it streams by.

No list of names is sent: rsync's sender would read it byte by byte, its receiver look up each name in it. What comes
may differ from what was listed a moment before. So each line that rsync prints is compared with the planned one; both
are in the same order, so that only differences are kept in memory. Once rsync has ended, the tree is walked through in
this order too, beside the plan:

- A name that is as planned, in the stream and on the disk, needs nothing.
- One that differs is corrected as in any batch, see `landing`.
- One that did not come is asked for by name, and so are the big files, which a killed run must be able to continue.
- One that was not planned is removed. It is new since the listing, and the next night's, or an attacker's. The folder
  was asked for as a whole, so this does not end the night; names that the filters exclude, or that leave the tree, are
  refused by rsync itself, and do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from snapmirror.night.landing import Landed, Landing, Wanted, is_of_kind, remove, with_owner
from snapmirror.snapshots.entry import escape, is_within, join, path_key, path_of, size_of, unescape
from snapmirror.snapshots.lines import Line, Numbered, is_directory, is_file, is_single_file, kind_of, name_of
from snapmirror.snapshots.merge import Pair
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.staging import Arrived
from snapmirror.tools.rsync_output import Sent

_AFTER_ALL = b"\2"
"""A key after all others."""


class Stream:
    """What rsync reports of a tree, beside the plan.

    `told` are reports that differ from the plan, or come out of order, by path; of a name that is reported twice the
    last one counts, without its checksum. Names that are `grouped` (hard links) have their planned lines there, and are
    always told. `missing` are other planned names that were not reported.
    """

    def __init__(self, plan: Plan) -> None:
        self._planned = (new for _, new in plan.transfer)
        self._ahead = next(self._planned, None)
        self.grouped = {path_of(new): new for group in plan.groups for _, new in group if new is not None}
        self.told: dict[bytes, Sent] = {}
        self.missing: set[bytes] = set()
        self.checksums: Spool[bytes, bytes] = Spool()  # of names that are as planned, escaped
        self.unchecked: list[bytes] = []

    def take(self, sent: Sent) -> int | None:
        """Note a report; return the bytes of a planned name that is reported for the first time, else None."""
        line = Line(sent.line)
        if line != self._ahead:
            if self._ahead is None or with_owner(line, self._ahead) != self._ahead:
                return self._otherwise(line, sent)
            line = self._ahead
        self._ahead = next(self._planned, None)
        if not is_file(line):
            return 0
        if sent.checksum:
            name = name_of(line)
            self.checksums.append((sent.checksum, escape(path_of(line)) if b"\\#" in name else name))
        else:
            self.unchecked.append(path_of(line))
        return size_of(line)

    def _otherwise(self, line: Line, sent: Sent) -> int | None:
        path = path_of(line)
        if (planned := self.grouped.get(path)) is not None:
            is_first = path not in self.told
            sent = Sent(planned, sent.checksum) if with_owner(line, planned) == planned else sent
        else:
            self._pass(path_key(line))
            is_first = path in self.missing
            if self._ahead is not None and path_of(self._ahead) == path:
                is_first, self._ahead = True, next(self._planned, None)
        self.missing.discard(path)
        self.told[path] = sent if is_first else Sent(sent.line, b"")
        if not is_first:
            return None
        return size_of(line) if is_single_file(line) else 0

    def _pass(self, key: bytes) -> None:
        """Pass the planned lines before this place."""
        while self._ahead is not None and path_key(self._ahead) < key:
            self.missing.add(path_of(self._ahead))
            self._ahead = next(self._planned, None)

    def end(self) -> None:
        """Nothing more comes."""
        self._pass(_AFTER_ALL)
        self.missing.difference_update(self.told)


class _Folder(Struct):
    """A folder of the tree that is being walked through, and the names in it that were not met in the plan so far."""

    path: bytes  # b"" is the root
    names: dict[bytes, os.DirEntry[bytes]]

    def holds(self, folder: bytes) -> bool:
        """Whether that folder is this one, or below it."""
        return not self.path or is_within(folder, self.path)


class Walk:
    """The tree that a recursive run has filled, beside the plan.

    `missing` are pairs that have to be asked for by name: files that were not reported, or (`again`) are not there.
    `doubtful` names have to be compared one by one. `folders` are those that are as planned.
    """

    def __init__(self, plan: Plan, stream: Stream, tree: Path, *, fake_super: bool) -> None:
        self._plan, self._stream, self._fake_super = plan, stream, fake_super
        self._tree = Tree(tree)
        self._open: list[_Folder] = []
        self.missing: Spool[Numbered, Line] = Spool()
        self.missing_groups: list[list[Pair]] = []
        self.doubtful: list[Wanted] = []
        self.folders: set[bytes] = set()
        self.strays = 0
        self.again: set[bytes] = set()
        self.again_bytes = 0

    def walk(self) -> None:
        """Walk through it, and remove what was not planned."""
        self._enter(b"")
        told, missing = self._stream.told, self._stream.missing
        for old, line in self._plan.transfer:
            assert line is not None
            path = path_of(line)
            if path == b".":
                if path in told:
                    self.doubtful.append(Wanted.of((old, line)))
                elif path not in missing:
                    self.folders.add(path)
                continue
            found = self._found(path, is_planned=path not in missing or is_directory(line))
            if found is not None and is_directory(line) and found.is_dir(follow_symlinks=False):
                self._enter(path)
            if path in missing:
                self.missing.append((old, line))
            elif found is None and not is_directory(line):
                self._ask_again([line])
                self.missing.append((old, line))
            elif path in told or found is None or not self._is_as_planned(line, found):
                self.doubtful.append(Wanted.of((old, line)))
            elif is_directory(line):
                self.folders.add(path)
        while self._open:
            self._leave()
        for group in self._plan.groups:
            self._look_at(group)

    def _found(self, path: bytes, *, is_planned: bool) -> os.DirEntry[bytes] | None:
        """The name in the tree; what is not planned counts as a stray."""
        folder, _, name = path.rpartition(b"/")
        while not self._open[-1].holds(folder):
            self._leave()
        there = self._open[-1]
        if there.path != folder or not is_planned:
            return None
        return there.names.pop(name, None)

    def _is_as_planned(self, line: Line, found: os.DirEntry[bytes]) -> bool:
        kind = kind_of(line)
        if kind == b"d":
            return found.is_dir(follow_symlinks=False)
        if kind == b"L" and found.is_symlink():
            return True
        status = found.stat(follow_symlinks=False)
        if not is_of_kind(kind, status.st_mode, fake_super=self._fake_super):
            return False
        return kind != b"f" or (status.st_nlink == 1 and status.st_size == size_of(line))

    def _look_at(self, group: list[Pair]) -> None:
        """One group of hard links. If one of its names is missing, it is asked for by name as a whole."""
        lines = {path_of(new): new for _, new in group if new is not None}
        told = [self._stream.told.get(path) for path in lines]
        if None in told or not all(self._tree.link_count(path) for path in lines):
            for path in lines:
                remove(self._tree, path)
            self._ask_again([line for path, line in lines.items() if path in self._stream.told])
            self.missing_groups.append(group)
        elif self._is_one_file(lines, told):
            checksum = next((one.checksum for one in told if one is not None and one.checksum), b"")
            for path in lines:
                if checksum:
                    self._stream.checksums.append((checksum, escape(path)))
                else:
                    self._stream.unchecked.append(path)
        else:
            self.doubtful += [Wanted.of(pair) for pair in group]

    def _ask_again(self, lines: Iterable[Line]) -> None:
        """Names that were reported and are not there, or not all of their group, are asked for by name.

        Contents may have failed rsync's check, for example.
        """
        for line in lines:
            self.again.add(path_of(line))
            self.again_bytes += size_of(line) if is_single_file(line) else 0

    def _is_one_file(self, lines: Mapping[bytes, Line], told: Sequence[Sent | None]) -> bool:
        """Whether the names of a group are as planned: those of one file, which has no others."""
        if any(
            one is None or one.line != line or not is_file(line) for one, line in zip(told, lines.values(), strict=True)
        ):
            return False
        inodes = set()
        for path, line in lines.items():
            try:
                status = os.lstat(self._tree.at(path))
            except (FileNotFoundError, NotADirectoryError):
                return False
            if not stat.S_ISREG(status.st_mode) or (status.st_nlink, status.st_size) != (len(lines), size_of(line)):
                return False
            inodes.add(status.st_ino)
        return len(inodes) == 1

    def _enter(self, path: bytes) -> None:
        with os.scandir(join(self._tree.root, path or b".")) as found:
            self._open.append(_Folder(path, {one.name: one for one in found}))

    def _leave(self) -> None:
        """Remove what is left in a folder, which keeps its times."""
        folder = self._open.pop()
        below = folder.path + b"/" if folder.path else b""
        strays = [path for name in folder.names if (path := below + name) not in self._stream.grouped]
        if strays:
            with self._tree.folder_kept(folder.path or b"."):
                for path in strays:
                    self._tree.unlink(path)
            self.strays += len(strays)


def settle(walk: Walk, stream: Stream, landing: Landing, landed: Landed, *, doubtful: bool) -> None:
    """Correct what differs from the plan. `landing` is of the walk's doubtful names. `doubtful`: contents are."""
    for one in walk.doubtful:
        if (told := stream.told.get(one.path)) is not None:
            landing.take(told, landed)
    landing.missing.clear()
    folders = landing.end_of_some(landed, doubtful=doubtful)
    landed.folders |= walk.folders - {b"."}
    landed.trees.append(Arrived(landing.tree, folders | walk.folders))
    landed.new_bytes -= walk.again_bytes
    again = {escape(one.path) for one in walk.doubtful if one.path in stream.told or one.path in landed.gone}
    again.update(map(escape, walk.again))
    if not again and not doubtful and not landed.checksums:
        landed.checksums = stream.checksums
    else:
        for checksum, name in stream.checksums:
            assert checksum is not None and name is not None
            if name in again:
                continue
            if doubtful:
                landed.unchecked.append(unescape(name))
            else:
                landed.checksums.append((checksum, name))
    landed.unchecked += [path for path in stream.unchecked if escape(path) not in again]
