"""What one batch really brought: compares what the source reports with the disk and with the request.

The source reports what it did to each name; the rest is read from the disk. A name of another kind than planned counts
as gone. A name that was not requested ends the night. Each batch fills a tree of its own, which is inspected once the
batch has ended: nothing that arrives later can change what was inspected.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

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
from snapmirror.snapshots.lines import Line, Number, Numbered, unnumbered, with_number
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


class Landed(Struct):
    """The result of a transfer.

    `trees` hold the names; `folders` are the planned folders that exist in one of them. `corrections` are for the
    manifest: planned lines (not numbered) with the numbered lines that replace them, or None. `checksums` (each with
    its escaped name) are those of new files whose content was transferred; `unchecked` are new files whose content was
    not. `gone` did not arrive, and must not stay; `kept_old` are names that could not be read and keep their last
    version; `vanished` were gone by then, or of another kind (`saw_vanishing`: rsync reports that some were). `bytes`
    of content were transferred, of which `saved` did not travel, thanks to compression; new files have `new_bytes`.
    `moved_names` were linked to files of the last snapshot, which have `moved_bytes`; `copied_names` are copies of such
    files, and were not transferred. New files that may share blocks with old ones are in `sharing`.
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
    sharing: list[bytes] = field(default_factory=list)
    bytes: int = 0
    saved: int = 0
    new_bytes: int = 0
    moved_names: int = 0
    moved_bytes: int = 0
    copied_names: int = 0
    copied_bytes: int = 0
    partial: bool = False
    saw_vanishing: bool = False

    def settle_folders(self, planned: Iterable[Wanted]) -> None:
        """Planned folders that were never sent keep their old line; a new one that did not arrive gets none."""
        sent = frozenset[bytes]().union(*(one.folders for one in self.trees))
        for one in planned:
            if one.path not in sent and (one.old is not None or one.path not in self.folders):
                self.corrections[one.new.line] = one.old


class Wanted(Struct, frozen=True):
    """A requested name, with its line in the last manifest (numbered) and its entry in the listing."""

    path: bytes
    old: Numbered | None
    new: Entry

    @classmethod
    def of(cls, pair: Pair) -> Wanted:
        """From a planned pair of lines."""
        old, new = pair
        assert new is not None
        after = parse(new)
        return cls(after.path, old, after)


class Landing:
    """One batch: `wanted` and the `folders` above them are requested from the source, which fills `tree`.

    `what` is being done, for errors. `keep` is the place for a file of the tree that could not be updated (None: none).
    `number` is the snapshot's, in the form that precedes a line.
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
        """Note what the source reports of a name; return the bytes of a new file, None if it was known before."""
        line = Line(sent.line)
        path = path_of(line)
        one = self.missing.pop(path, None)
        is_first = one is not None
        if one is None:  # a folder above requested names
            one = self._folders.get(path)
            if one is None:
                return None  # see end
        if line == one.new.line:  # as planned, as nearly all are; in a second transfer it may have been otherwise
            entry = one.new
            landed.corrections.pop(line, None)
        else:
            entry = parse(with_owner(line, one.new.line))
            self._correct(one, entry, landed)
        if entry.is_directory:
            self._sent.add(path)
        if entry.kind == b"f":
            if sent.checksum:
                self._sums.append((sent.checksum, escape(entry.path)))
            else:
                self._unchecked.append(entry.path)
        size = entry.size if entry.kind == b"f" and entry.leader is None else 0
        return size if is_first else None

    def _correct(self, one: Wanted, entry: Entry, landed: Landed) -> None:
        """Record a name that has arrived, and its new state if it has changed since it was listed."""
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
        """The batch has ended without a fatal error: inspect the tree. Raises TransferError for unrequested names.

        `partial`: some files could not be read.
        """
        tree = Tree(self.tree)
        there = self._there(tree)
        if found := strays(self.tree, there, self.missing):
            raise unasked([escape(path) for path in found], self._what)
        self._settle_missing(tree, landed, partial=partial)
        self._settle(tree, there, landed, partial=partial)
        landed.trees.append(Arrived(self.tree, frozenset(self._sent)))

    def end_of_some(self, landed: Landed, *, doubtful: bool) -> frozenset[bytes]:
        """The same where the tree holds more than the batch, and is looked through elsewhere: all of the batch has been
        reported. Returns the folders that were sent. `doubtful`: contents may not be what their checksums say.
        """
        tree = Tree(self.tree)
        self._settle(tree, self._there(tree), landed, partial=doubtful)
        return frozenset(self._sent)

    def _settle(self, tree: Tree, there: Mapping[bytes, os.stat_result], landed: Landed, *, partial: bool) -> None:
        """Compare what was reported with the names that are there."""
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
        if partial:  # rsync prints a checksum also for a file that failed its own check
            self._unchecked += [unescape(name) for _, name in self._sums]
            self._sums = []
        landed.checksums.extend(pair for pair in self._sums if unescape(pair[1]) not in landed.gone)
        landed.unchecked += [path for path in self._unchecked if path not in landed.gone]

    def checksums(self) -> dict[bytes, bytes]:
        """The checksums of the files whose content was transferred, by name, once the batch has ended."""
        return {unescape(name): checksum for checksum, name in self._sums}

    def _there(self, tree: Tree) -> dict[bytes, os.stat_result]:
        """The requested names that exist in the tree."""
        found = {}
        for path in dict.fromkeys([*(one.path for one in self._wanted), *self._folders]):
            try:
                found[path] = os.lstat(tree.at(path))
            except (FileNotFoundError, NotADirectoryError):
                continue
        return found

    def _is_planned_kind(self, kind: bytes, mode: int) -> bool:
        return is_of_kind(kind, mode, fake_super=self._fake_super)

    def _has_gone(self, tree: Tree, one: Wanted, landed: Landed, *, told: bool) -> None:
        """The name is not there, or of another kind by now: it counts as gone."""
        remove(tree, one.path)
        if not one.new.is_directory:  # (for folders, see Landed.settle_folders)
            landed.corrections[one.new.line] = None
            landed.gone.add(one.path)
        if told:
            landed.vanished.append(one.path)

    def _settle_missing(self, tree: Tree, landed: Landed, *, partial: bool) -> None:
        """Names that did not arrive. After a read error the last version stays; otherwise they have vanished."""
        for one in self.missing.values():
            if one.new.is_directory:
                continue  # it may arrive with its content
            (landed.unreadable if partial else landed.vanished).append(one.path)
            if partial and one.old is not None:
                landed.corrections[one.new.line] = one.old
                landed.kept_old.append(one.path)
                if self._keep is not None:
                    carry(tree, Tree(self._keep), one.path)
            else:
                landed.corrections[one.new.line] = None
                landed.gone.add(one.path)
            remove(tree, one.path)  # an old version that was not patched

    def _inspect(self, present: Sequence[tuple[Wanted, os.stat_result]], landed: Landed) -> None:
        """Correct the manifest to the state on the disk for files that changed between the listing and the transfer.

        rsync reports a file's size, and which names are one file, as they were when it listed them.
        """
        groups: dict[tuple[int, int], list[tuple[Wanted, Entry]]] = {}
        for one, status in present:
            corrected = landed.corrections.get(one.new.line)
            told = one.new if corrected is None else parse(unnumbered(corrected))
            if told.kind != b"f":
                continue
            if status.st_size != told.size:
                told = parse(plain_line(_with_size(told.attributes, status.st_size), one.path))
            if told.leader is not None or status.st_nlink > 1:
                groups.setdefault((status.st_ino, status.st_mtime_ns // _SECOND), []).append((one, told))
            else:
                self._put(one, told.line, landed)
        for (_, seconds), members in groups.items():
            leader = next((told for _, told in members if told.leader is None), members[0][1])
            if not leader.is_of(seconds):  # names of a changing file are listed with different times
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


def is_of_kind(kind: bytes, mode: int, *, fake_super: bool) -> bool:
    """Whether a name with this mode on the store can be an entry of that kind."""
    return _IS_KIND[kind](mode) or (fake_super and stat.S_ISREG(mode))


def _with_size(attributes: bytes, size: int) -> bytes:
    fields = attributes.split(b"|")
    return b"|".join([*fields[:4], b"%d" % size, *fields[5:]])


def with_owner(line: Line, planned: Line) -> Line:
    """An unprivileged rsync does not report an owner that it cannot set: the owner is the listed one."""
    fields = line.split(b"|", 6)
    if fields[2].isdigit() and fields[3].isdigit():
        return line
    return Line(b"|".join([*fields[:2], *planned.split(b"|", 4)[2:4], *fields[4:]]))


def remove(tree: Tree, path: bytes) -> None:
    """Remove a name without changing its folder's times."""
    with tree.folder_kept(parent(path)):
        tree.unlink(path)
