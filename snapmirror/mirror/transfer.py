"""Fetching what the plan names into the staging tree, and finding out what really landed.

rsync is asked for lists of at most `_BATCH` names: the time that it needs to check each name against the list grows
with the square of their number (its guard against a hostile server). Each batch carries the planned folders that its
names lie in, so that rsync sets their times after the last change; folders that are not in the plan are the store's to
put right. A sender may send more than it was asked for: that lies in the staging tree, is found, and ends the night.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from snapmirror import files, process
from snapmirror.config import MirrorConfig
from snapmirror.errors import SnapmirrorError
from snapmirror.mirror import floods, stall
from snapmirror.snapshots.entry import Entry, escape, linked_line, parent, parse, path_of, plain_line, with_time
from snapmirror.snapshots.manifest import PREFIX, since_prefix
from snapmirror.snapshots.merge import Pair
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.protocol import Target
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.staging import strays
from snapmirror.tools import rsync

_BATCH = 10_000
_COMPLAINTS = 100
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

    `corrections` are for the manifest: planned lines (not numbered) with the numbered lines to stand instead, or None.
    `checksums` (each with its escaped name) are of the new files whose content travelled; `unchecked` are new files
    whose content did not. `kept_old` are names that could not be read and keep their last version, `kept_folders` keep
    their last attributes; `vanished` were gone (`saw_vanishing`: rsync says that some were). `bytes` of content have
    travelled; new files have `new_bytes`.
    """

    corrections: dict[bytes, bytes | None] = field(default_factory=dict)
    checksums: Spool = field(default_factory=Spool)
    unchecked: list[bytes] = field(default_factory=list)
    kept_old: list[bytes] = field(default_factory=list)
    kept_folders: list[bytes] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    vanished: list[bytes] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    bytes: int = 0
    new_bytes: int = 0
    partial: bool = False
    saw_vanishing: bool = False


Advance = Callable[[int, int], None]
"""Called with names and bytes that have landed since the last call."""


def fetch(mirror: MirrorConfig, plan: Plan, target: Target, advance: Advance, watch: Callable[[], None]) -> Landed:
    """Bring everything that the plan asks for into the staging tree. `watch` is called now and then; it may raise.

    Raises TransferError or StorageError when the night cannot be published, because names came that nobody asked for
    among other reasons; what has landed stays for the next.
    """
    fetching = _Fetching(mirror, plan, target, advance, watch)
    for batch in _batches(plan):
        patched = batch if target.in_place else [one for one in batch if one.path in target.patch]
        whole = [] if target.in_place else [one for one in batch if one.path not in target.patch]
        for wanted, patch in ((whole, False), (patched, True)):
            if wanted:
                fetching.batch(wanted, patch=patch)
    fetching.root()
    fetching.finish()
    return fetching.landed


@dataclass(frozen=True)
class _Wanted:
    """One name of a batch, with its line in the last manifest (numbered) and its entry in the listing."""

    path: bytes
    old: bytes | None
    new: Entry


def _batches(plan: Plan) -> Iterator[list[_Wanted]]:
    """The plan in batches, a hard link group always in one."""
    batch: list[_Wanted] = []
    for unit in _units(plan):
        if unit[0].path == b".":
            continue  # see _Fetching.root
        if batch and len(batch) + len(unit) > _BATCH:
            yield batch
            batch = []
        batch.extend(unit)
    if batch:
        yield batch


def _units(plan: Plan) -> Iterator[list[_Wanted]]:
    for pair in plan.transfer:
        yield [_wanted(pair)]
    for group in plan.groups:
        yield [_wanted(pair) for pair in group]


def _wanted(pair: Pair) -> _Wanted:
    old, new = pair
    assert new is not None
    after = parse(new)
    return _Wanted(after.path, old, after)


class _Fetching:
    """The batches of one transfer."""

    def __init__(
        self, mirror: MirrorConfig, plan: Plan, target: Target, advance: Advance, watch: Callable[[], None]
    ) -> None:
        self.mirror, self.plan, self.target, self.advance, self.watch = mirror, plan, target, advance, watch
        self.number = since_prefix(plan.sequence)
        folders = (pair for pair in plan.transfer if pair[1] is not None and pair[1][1:2] == b"d")
        self.folders = {_wanted(pair).path: pair for pair in folders}
        self.landed = Landed()
        self.present = 0  # planned names that stand in the staging tree, but for folders
        self.sent: set[bytes] = set()  # planned folders that the server has sent
        self.implied: set[bytes] = set()  # folders that lead there, and are not planned
        self.ahead = 0  # bytes of files still on their way that have been shown as progress

    def batch(self, wanted: list[_Wanted], *, patch: bool) -> None:
        """Fetch some names. Raises what ends the night."""
        missing = {one.path: one for one in wanted}
        above = (parent(one.path) for one in wanted)
        names = dict.fromkeys([*(folder for folder in above if folder in self.folders and folder != b"."), *missing])
        listed = (rsync.listed_name(self.mirror, name) + b"\0" for name in names)
        files.write(self.target.names, b"".join(listed))
        self._fetch(self.target.names, missing, patch=patch)
        self._inspect(wanted)
        self.target.names.unlink()

    def _inspect(self, wanted: list[_Wanted]) -> None:
        """Let the manifest say what stands on the disk, where a file has changed between being listed and being sent.

        rsync tells a file's size, and which names are one file, as they were when it listed them.
        """
        groups: dict[tuple[int, int], list[tuple[_Wanted, Entry]]] = {}
        staging = Tree(self.target.staging)
        for one in wanted:
            if one.new.is_directory:
                continue  # see finish
            numbered = self.landed.corrections.get(one.new.line, self.number + one.new.line)
            has_landed = numbered is not None and numbered.startswith(self.number)
            try:
                status = os.lstat(staging.at(one.path))
            except (FileNotFoundError, NotADirectoryError):
                if has_landed:
                    self.landed.corrections[one.new.line] = None
                continue
            self._is_present(one.path)
            if numbered is None or not has_landed:
                continue
            self._check_kind(numbered[PREFIX + 1 : PREFIX + 2], one.path, status.st_mode)
            if not stat.S_ISREG(status.st_mode):
                continue
            told = parse(numbered[PREFIX:])
            if status.st_size != told.size:
                told = parse(plain_line(_with_size(told.attributes, status.st_size), one.path))
            if told.leader is not None or status.st_nlink > 1:
                inode = status.st_ino, status.st_mtime_ns // _SECOND
                groups.setdefault(inode, []).append((one, told))
            else:
                self._correct(one, told.line)
        for (_, seconds), members in groups.items():
            leader = next((told for _, told in members if told.leader is None), members[0][1])
            if not leader.is_of(seconds):  # the names of a file that changes are listed with different times
                leader = parse(with_time(leader.line, seconds))
            for one, told in members:
                if told.path == leader.path:
                    self._correct(one, plain_line(leader.attributes, told.path))
                else:
                    self._correct(one, linked_line(leader.attributes, told.path, leader.path))

    def _check_kind(self, kind: bytes, path: bytes, mode: int) -> None:
        """What rsync prints comes from the server as well: only the disk tells what a name is. Raises TransferError."""
        if not _IS_KIND[kind](mode) and not (self.mirror.fake_super and stat.S_ISREG(mode)):
            raise rsync.contradicted(escape(path), _what(self.mirror))

    def _is_present(self, path: bytes) -> None:
        self.present += 1
        while (path := parent(path)) != b"." and path not in self.folders and path not in self.implied:
            self.implied.add(path)

    def _correct(self, one: _Wanted, line: bytes) -> None:
        if line == one.new.line:
            self.landed.corrections.pop(one.new.line, None)
        else:
            self.landed.corrections[one.new.line] = self.number + line

    def root(self) -> None:
        """Fetch the attributes of the root, which come last: all else changes its times."""
        if (root := self.folders.get(b".")) is not None:
            self._fetch(None, {b".": _wanted(root)}, patch=False)

    def finish(self) -> None:
        """See that folders are folders, and that nothing came that was not asked for. Raises TransferError."""
        staging = Tree(self.target.staging)
        for path, pair in self.folders.items():
            if path == b".":
                continue
            one = _wanted(pair)
            try:
                place = staging.at(path)
                if stat.S_ISDIR(os.lstat(place).st_mode):
                    self._is_present(path)
                    if path in self.sent or one.old is None:
                        continue
                    self.landed.kept_folders.append(path)
                else:
                    os.unlink(place)  # it has become something else since it was listed: it counts as gone
                    self.landed.vanished.append(path)
            except (FileNotFoundError, NotADirectoryError):
                pass
            self.landed.corrections[one.new.line] = one.old
        if found := strays(self.target.staging, self.plan, self.present, self.implied):
            raise rsync.unasked([escape(path) for path in found], _what(self.mirror))

    def _fetch(self, names: Path | None, missing: dict[bytes, _Wanted], *, patch: bool) -> None:
        argv = rsync.transfer_argv(
            self.mirror, names, self.target.staging, basis=self.target.basis,
            scratch=self.target.scratch, partial=self.target.partial, patch=patch,
        )  # fmt: skip
        memory, own = floods.memory(len(missing) + len(self.folders)), self.target
        writable = (own.staging, own.scratch, own.partial)
        with process.running(argv, memory=memory, writable=writable) as child:
            flood = floods.MessageFlood(child, what=_what(self.mirror), names=len(missing))
            for raw in self._lines(child, flood):
                self._line(raw, missing)
            code, stderr = child.wait(), child.stderr_tail()
        _judge(code, stderr, self.mirror, self.landed)
        _settle_missing(list(missing.values()), code, self.target, self.landed)

    def _lines(self, child: process.Running, flood: floods.Flood) -> Iterator[bytes]:
        rest, seconds = b"", stall.patience(self.mirror)
        for chunk in stall.printed(child, 1 << 16, seconds=seconds, flood=flood, tick=self._look):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines

    def _look(self) -> None:
        """About every second: room on the store, and how far the file on its way has come."""
        self.watch()
        size = 0
        with os.scandir(self.target.scratch) as found, suppress(FileNotFoundError):  # done in this very moment
            size = sum(one.stat(follow_symlinks=False).st_size for one in found)
        if size > self.ahead:
            self.advance(0, size - self.ahead)
            self.ahead = size

    def _line(self, raw: bytes, missing: dict[bytes, _Wanted]) -> None:
        sent = rsync.parse_sent(raw)
        if sent is None:
            self.landed.bytes += rsync.literal_bytes(raw)
            return
        path = path_of(sent.line)
        one = missing.pop(path, None)
        comes_again = one is None
        if one is None:  # a folder, with what lies in it
            pair = self.folders.get(path)
            if pair is None:
                return
            one = _wanted(pair)
        entry = parse(_with_owner(sent.line, one.new))
        if entry.is_directory:
            self.sent.add(path)
        if not comes_again:
            size = entry.size if entry.kind == b"f" and entry.leader is None else 0
            self.landed.new_bytes += size
            seen = min(self.ahead, size)
            self.ahead -= seen
            self.advance(1, size - seen)
        self._land(one, entry, sent.checksum)

    def _land(self, one: _Wanted, entry: Entry, checksum: bytes) -> None:
        """Take note of one name that has landed, and of what it is if it has changed since it was listed."""
        planned, landed = one.new, self.landed
        if entry.kind == planned.kind and entry.attributes == planned.attributes:
            same_target = entry.kind != b"L" or entry.leader is not None or planned.leader is not None
            if same_target or entry.target == planned.target:
                landed.corrections.pop(planned.line, None)
            else:
                landed.corrections[planned.line] = self.number + entry.line
        elif entry.kind == planned.kind == b"f":  # its role in a hard link group stays
            item, *_, name = planned.line.split(b"|", 6)
            landed.corrections[planned.line] = self.number + item + entry.attributes[1:] + b"|" + name
        else:
            landed.corrections[planned.line] = self.number + entry.line
        if entry.kind == b"f":
            if checksum:
                landed.checksums.append((checksum, escape(entry.path)))
            else:
                landed.unchecked.append(entry.path)


def _judge(code: int, stderr: bytes, mirror: MirrorConfig, landed: Landed) -> None:
    """Go on, or raise what ends the night."""
    if code not in {rsync.OK, rsync.PARTIAL, rsync.VANISHED} or rsync.is_full(stderr):
        raise _failure(code, stderr, mirror)
    if code == rsync.VANISHED:
        landed.saw_vanishing = True
    if code == rsync.PARTIAL:
        if mirror.on_unreadable == "fail":
            raise _failure(code, stderr, mirror)
        landed.partial = True
    landed.complaints = [*landed.complaints, *rsync.complaints(stderr, good=code == rsync.OK)][:_COMPLAINTS]


def _failure(code: int, stderr: bytes, mirror: MirrorConfig) -> SnapmirrorError:
    return rsync.failure(code, stderr, _what(mirror))


def _what(mirror: MirrorConfig) -> str:
    return f"the transfer from {mirror.source} stopped"


def _with_size(attributes: bytes, size: int) -> bytes:
    fields = attributes.split(b"|")
    return b"|".join([*fields[:4], b"%d" % size, *fields[5:]])


def _with_owner(line: bytes, planned: Entry) -> bytes:
    """An ordinary user's rsync names no owner that it cannot give: it is the listed one's."""
    fields = line.split(b"|", 6)
    if fields[2].isdigit() and fields[3].isdigit():
        return line
    return b"|".join([*fields[:2], b"%d" % planned.uid, b"%d" % planned.gid, *fields[4:]])


def _settle_missing(missing: list[_Wanted], code: int, target: Target, landed: Landed) -> None:
    """Names that did not land. After a read error the last version stays; otherwise they have vanished."""
    staging = Tree(target.staging)
    for one in missing:
        if one.new.is_directory:
            continue  # see _Fetching.finish
        landed.corrections[one.new.line] = None
        (landed.unreadable if code == rsync.PARTIAL else landed.vanished).append(one.path)
        if code == rsync.PARTIAL and one.old is not None and target.basis is not None:
            landed.corrections[one.new.line] = one.old
            landed.kept_old.append(one.path)
        else:
            _remove(staging, one.path)  # an old version that was not patched


def _remove(tree: Tree, path: bytes) -> None:
    """Remove a name, and let its folder keep its times."""
    before = tree.attributes(parent(path))
    tree.unlink(path)
    if before is not None:
        tree.set_attributes(parent(path), before)
