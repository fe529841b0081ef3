"""What one batch has really brought: the words of the source squared with the disk, and with what it was asked for.

The source tells what it has done to each name; the disk tells the rest. A name of another kind than was planned counts
as gone. One that was not asked for ends the night. Each batch fills a tree of its own, which is looked at once it has
ended: nothing that comes later can change what was seen.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from snapmirror.snapshots.entry import (
    Entry,
    escape,
    linked_line,
    parent,
    parse,
    path_of,
    plain_line,
    unescape,
    with_time,
)
from snapmirror.snapshots.lines import Line, Number, Numbered, holds_file, unnumbered, with_number
from snapmirror.snapshots.merge import Pair
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.staging import Arrived, carry, strays
from snapmirror.sources.protocol import unasked
from snapmirror.tools.rsync_output import Sent

_SECOND = 1_000_000_000
_IS_KIND: dict[bytes, Callable[[int], bool]] = {
    b"f": stat.S_ISREG,
    b"d": stat.S_ISDIR,
    b"L": stat.S_ISLNK,
    b"D": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    b"S": lambda mode: stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode),
}


@dataclass
class Landed:
    """What a transfer has brought.

    `trees` hold it; `folders` are those planned ones that stand in one of them. `corrections` are for the manifest:
    planned lines (not numbered) with the numbered lines to stand instead, or None. `checksums` (each with its escaped
    name) are of the new files whose content travelled; `unchecked` are new files whose content did not. `gone` did not
    come, and must not stay; `kept_old` are names that could not be read and keep their last version; `vanished` were
    gone, or something else by then (`saw_vanishing`: rsync says that some were). `bytes` of content have travelled; new
    files have `new_bytes`.
    """

    trees: list[Arrived] = field(default_factory=list)
    folders: set[bytes] = field(default_factory=set)
    corrections: dict[Line, Numbered | None] = field(default_factory=dict)
    checksums: Spool[bytes, bytes] = field(default_factory=Spool)
    unchecked: list[bytes] = field(default_factory=list)
    gone: set[bytes] = field(default_factory=set)
    kept_old: list[bytes] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    vanished: list[bytes] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    bytes: int = 0
    new_bytes: int = 0
    partial: bool = False
    saw_vanishing: bool = False

    def settle_folders(self, planned: Iterable[Wanted]) -> None:
        """Planned folders that were never sent keep what they were; a new one that did not come is none."""
        sent = frozenset[bytes]().union(*(one.folders for one in self.trees))
        for one in planned:
            if one.path not in sent and (one.old is not None or one.path not in self.folders):
                self.corrections[one.new.line] = one.old


@dataclass(frozen=True)
class Wanted:
    """One name that is asked for, with its line in the last manifest (numbered) and its entry in the listing."""

    path: bytes
    old: Numbered | None
    new: Entry

    @classmethod
    def of(cls, pair: Pair) -> Wanted:
        """Of a planned pair of lines."""
        old, new = pair
        assert new is not None
        after = parse(new)
        return cls(after.path, old, after)


class Landing:
    """One batch: the source is asked for `wanted` and for `folders` that lead there, and fills `tree`.

    `what` is being done, for errors. `keep` is where a file goes that stood in the tree and could not be brought up to
    date, None: nowhere. `number` is the snapshot's, as it stands before a line.
    """

    def __init__(
        self,
        what: str,
        number: Number,
        tree: Path,
        wanted: Sequence[Wanted],
        folders: Mapping[bytes, Wanted],
        keep: Path | None,
        *,
        fake_super: bool,
    ) -> None:
        self._what, self.number, self.tree, self._keep = what, number, tree, keep
        self._fake_super = fake_super
        self.missing = {one.path: one for one in wanted}
        self._wanted, self._folders = list(wanted), folders
        self._sent: set[bytes] = set()  # folders
        self._sums: list[tuple[bytes, bytes]] = []
        self._unchecked: list[bytes] = []

    def take(self, sent: Sent, landed: Landed) -> int | None:
        """Note what is said of a name; return the bytes of a file that is new, None if that was known before."""
        line = Line(sent.line)
        path = path_of(line)
        one = self.missing.pop(path, None)
        is_first = one is not None
        if one is None:  # a folder, with what lies in it
            one = self._folders.get(path)
            if one is None:
                return None  # see end
        entry = parse(_with_owner(line, one.new))
        if entry.is_directory:
            self._sent.add(path)
        self._correct(one, entry, landed)
        if entry.kind == b"f":
            if sent.checksum:
                self._sums.append((sent.checksum, escape(entry.path)))
            else:
                self._unchecked.append(entry.path)
        size = entry.size if entry.kind == b"f" and entry.leader is None else 0
        return size if is_first else None

    def _correct(self, one: Wanted, entry: Entry, landed: Landed) -> None:
        """One name that has landed, and what it is if it has changed since it was listed."""
        planned = one.new
        if entry.kind != planned.kind:
            return  # see end
        if entry.attributes == planned.attributes:
            same_target = entry.kind != b"L" or entry.leader is not None or planned.leader is not None
            if same_target or entry.target == planned.target:
                landed.corrections.pop(planned.line, None)
            else:
                landed.corrections[planned.line] = with_number(self.number, entry.line)
        elif entry.kind == b"f":  # its role in a hard link group stays
            item, *_, name = planned.line.split(b"|", 6)
            landed.corrections[planned.line] = with_number(self.number, Line(item + entry.attributes[1:] + b"|" + name))
        else:
            landed.corrections[planned.line] = with_number(self.number, entry.line)

    def end(self, landed: Landed, *, partial: bool) -> None:
        """It has ended, well enough: look at the tree. Raises TransferError for what was not asked for.

        `partial`: some files could not be read.
        """
        tree = Tree(self.tree)
        there = self._there(tree)
        if found := strays(self.tree, there, self.missing):
            raise unasked([escape(path) for path in found], self._what)
        self._settle_missing(tree, landed, partial=partial)
        present: list[tuple[Wanted, os.stat_result]] = []
        for one in self._wanted:
            if one.path in self.missing or one.new.is_directory:
                continue
            status = there.get(one.path)
            if status is not None and self._is_planned_kind(one.new.kind, status.st_mode):
                present.append((one, status))
            else:
                self._has_gone(tree, one, landed, told=status is not None)
        for path, one in self._folders.items():
            if (status := there.get(path)) is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                landed.folders.add(path)
            else:
                self._has_gone(tree, one, landed, told=True)
                self._sent.discard(path)
        self._inspect(present, landed)
        if partial:  # of a file that failed rsync's own check it prints a checksum as well
            self._unchecked += [unescape(name) for _, name in self._sums]
            self._sums = []
        landed.checksums.extend(pair for pair in self._sums if unescape(pair[1]) not in landed.gone)
        landed.unchecked += [path for path in self._unchecked if path not in landed.gone]
        landed.trees.append(Arrived(self.tree, frozenset(self._sent)))

    def _there(self, tree: Tree) -> dict[bytes, os.stat_result]:
        """What stands in the tree of all that was asked for."""
        found = {}
        for path in dict.fromkeys([*(one.path for one in self._wanted), *self._folders]):
            try:
                found[path] = os.lstat(tree.at(path))
            except (FileNotFoundError, NotADirectoryError):
                continue
        return found

    def _is_planned_kind(self, kind: bytes, mode: int) -> bool:
        return _IS_KIND[kind](mode) or (self._fake_super and stat.S_ISREG(mode))

    def _has_gone(self, tree: Tree, one: Wanted, landed: Landed, *, told: bool) -> None:
        """It is not there, or something else by now: it counts as gone."""
        _remove(tree, one.path)
        if not one.new.is_directory:  # (of folders, see Landed.settle_folders)
            landed.corrections[one.new.line] = None
            landed.gone.add(one.path)
        if told:
            landed.vanished.append(one.path)

    def _settle_missing(self, tree: Tree, landed: Landed, *, partial: bool) -> None:
        """Names that did not land. After a read error the last version stays; otherwise they have vanished."""
        for one in self.missing.values():
            if one.new.is_directory:
                continue  # it may come with what lies in it
            (landed.unreadable if partial else landed.vanished).append(one.path)
            if partial and one.old is not None:
                landed.corrections[one.new.line] = one.old
                landed.kept_old.append(one.path)
                if self._keep is not None:
                    carry(tree, Tree(self._keep), one.path)
            else:
                landed.corrections[one.new.line] = None
                landed.gone.add(one.path)
            _remove(tree, one.path)  # an old version that was not patched

    def _inspect(self, present: Sequence[tuple[Wanted, os.stat_result]], landed: Landed) -> None:
        """Let the manifest say what stands on the disk, where a file has changed between being listed and being sent.

        rsync tells a file's size, and which names are one file, as they were when it listed them.
        """
        groups: dict[tuple[int, int], list[tuple[Wanted, Entry]]] = {}
        for one, status in present:
            numbered = landed.corrections.get(one.new.line) or with_number(self.number, one.new.line)
            if not holds_file(numbered):
                continue
            told = parse(unnumbered(numbered))
            if status.st_size != told.size:
                told = parse(plain_line(_with_size(told.attributes, status.st_size), one.path))
            if told.leader is not None or status.st_nlink > 1:
                groups.setdefault((status.st_ino, status.st_mtime_ns // _SECOND), []).append((one, told))
            else:
                self._put(one, told.line, landed)
        for (_, seconds), members in groups.items():
            leader = next((told for _, told in members if told.leader is None), members[0][1])
            if not leader.is_of(seconds):  # the names of a file that changes are listed with different times
                leader = parse(with_time(leader.line, seconds))
            for one, told in members:
                if told.path == leader.path:
                    self._put(one, plain_line(leader.attributes, told.path), landed)
                else:
                    self._put(one, linked_line(leader.attributes, told.path, leader.path), landed)

    def _put(self, one: Wanted, line: Line, landed: Landed) -> None:
        if line == one.new.line:
            landed.corrections.pop(one.new.line, None)
        else:
            landed.corrections[one.new.line] = with_number(self.number, line)


def _with_size(attributes: bytes, size: int) -> bytes:
    fields = attributes.split(b"|")
    return b"|".join([*fields[:4], b"%d" % size, *fields[5:]])


def _with_owner(line: Line, planned: Entry) -> Line:
    """An ordinary user's rsync names no owner that it cannot give: it is the listed one's."""
    fields = line.split(b"|", 6)
    if fields[2].isdigit() and fields[3].isdigit():
        return line
    return Line(b"|".join([*fields[:2], b"%d" % planned.uid, b"%d" % planned.gid, *fields[4:]]))


def _remove(tree: Tree, path: bytes) -> None:
    """Remove a name, and let its folder keep its times."""
    before = tree.attributes(parent(path))
    tree.unlink(path)
    if before is not None:
        tree.set_attributes(parent(path), before)
