"""The differences between two snapshots, by their manifests.

Equal lines with equal numbers are the same inode and cost one comparison. If only the number of a line differs, the
file was written again: the checksums show whether its content has changed behind equal size and time; without
checksums, the trees show whether it is the same inode after all. A removed file and an added one with the same checksum
count as one that was moved.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from msgspec import Struct, field

from snapmirror.errors import DamageError
from snapmirror.snapshots import checksums
from snapmirror.snapshots.entry import Entry, join
from snapmirror.snapshots.history import Catalogue
from snapmirror.snapshots.manifest import Reader
from snapmirror.snapshots.merge import BothNumbered, differences, link_differences
from snapmirror.snapshots.record import Snapshot

ADDED, REMOVED, MOVED = "added", "removed", "moved"
CHANGED, ATTRIBUTES, REWRITTEN = "changed", "attributes", "rewritten"
KINDS = (ADDED, REMOVED, MOVED, CHANGED, ATTRIBUTES, REWRITTEN)


class Difference(Struct, frozen=True):
    """One name that differs. `what` says in which respects; `source` is the old path of a moved file.

    `changed` is another content, type or target; `attributes` the same content with other attributes; `rewritten` a
    separate inode that looks the same (manifests hold no ACLs and extended attributes).
    """

    kind: str
    path: bytes
    what: tuple[str, ...] = ()
    before: Entry | None = None
    after: Entry | None = None
    source: bytes | None = None


class Side(Struct, frozen=True):
    """A name in one of the snapshots, with the number before it."""

    number: int
    entry: Entry


class _Both(Struct):
    old: Side | None = None
    new: Side | None = None


class Comparison(Struct):
    """All differences, in the order of paths, and the checksum files that could not be read."""

    differences: list[Difference]
    complaints: list[str] = field(default_factory=list)


def compare(history: Catalogue, old: Snapshot, new: Snapshot, *, trees: bool = True) -> Comparison:
    """Compare two snapshots of one mirror; `trees`: their trees may be read. Raises DamagedManifest."""
    pairs = _pairs(Reader(history.manifest(old)), Reader(history.manifest(new)))
    sums = _Checksums(history)
    sums.load(_in_question(pairs))
    roots = (os.fsencode(history.tree(old)), os.fsencode(history.tree(new))) if trees else None
    found = [one for path, both in pairs.items() if (one := _judge(path, both, sums, roots)) is not None]
    found = _with_moves(found, pairs, sums)
    return Comparison(sorted(found, key=lambda one: one.path), sums.complaints)


def _pairs(old: Reader, new: Reader) -> dict[bytes, _Both]:
    """Both sides of every name that differs. A leader that becomes a follower, or a folder a file, is one name."""
    pairs: dict[bytes, _Both] = {}
    plain = differences(old, new.pieces(), numbers=new.numbers)
    for lines in (plain, _later(old, new)):
        for before, after in lines:
            if before is not None:
                side = Side(*old.taken_apart(before))
                pairs.setdefault(side.entry.path, _Both()).old = side
            if after is not None:
                side = Side(*new.taken_apart(after))
                pairs.setdefault(side.entry.path, _Both()).new = side
    return pairs


def _later(old: Reader, new: Reader) -> Iterator[BothNumbered]:
    """The links are complete only when the plain lines have been read."""
    yield from link_differences(old.links, new.links)


# --- checksums


class _Checksums:
    """The checksums of the files in question, by number and path."""

    def __init__(self, history: Catalogue) -> None:
        self._history = history
        self._known: dict[tuple[int, bytes], bytes] = {}
        self.complaints: list[str] = []

    def load(self, wanted: dict[int, set[bytes]]) -> None:
        for number, paths in wanted.items():
            try:
                for path, checksum in checksums.read(self._history.checksums(number)):
                    if path in paths:
                        self._known[number, path] = checksum
            except DamageError as damage:
                self.complaints.append(damage.message)

    def of(self, side: Side) -> bytes | None:
        return self._known.get((side.number, side.entry.path))


def _in_question(pairs: dict[bytes, _Both]) -> dict[int, set[bytes]]:
    """The files whose checksums tell more than their lines: written again, or perhaps moved."""
    sizes: tuple[set[int], set[int]] = (set(), set())
    for both in pairs.values():
        for side, seen in ((both.old, sizes[0]), (both.new, sizes[1])):
            if side is not None and side.entry.kind == b"f" and (both.old is None or both.new is None):
                seen.add(side.entry.size)
    maybe_moved = sizes[0] & sizes[1] - {0}
    wanted: dict[int, set[bytes]] = {}
    for path, both in pairs.items():
        if both.old is None or both.new is None:
            asked = any(
                side is not None and side.entry.kind == b"f" and side.entry.size in maybe_moved
                for side in (both.old, both.new)
            )
        else:
            asked = both.old.number != both.new.number and both.old.entry.size == both.new.entry.size
        for side in (both.old, both.new):
            if asked and side is not None and side.entry.kind == b"f":
                wanted.setdefault(side.number, set()).add(path)
    return wanted


# --- judging


def _judge(path: bytes, both: _Both, sums: _Checksums, roots: tuple[bytes, bytes] | None) -> Difference | None:
    """The difference of a name; None if there is none."""
    old, new = both.old, both.new
    if old is None or new is None:
        kind = ADDED if old is None else REMOVED
        return Difference(kind, path, (), old.entry if old else None, new.entry if new else None)
    before, after = old.entry, new.entry
    if before.kind != after.kind:
        return Difference(CHANGED, path, ("type",), before, after)
    what = _attributes(before, after)
    if old.number == new.number and not what:
        return None  # the same inode; only the leader of its group is another name
    known = sums.of(old), sums.of(new)
    content = known[0] != known[1] if known[0] and known[1] else None
    if before.kind == b"f" and before.size != after.size:
        what.insert(0, "size")
        content = True
    elif before.kind == b"f" and content is None and "time" in what:
        content = True  # unknown, but a new time usually means new content
    if content and "size" not in what:
        what.insert(0, "content")
    if before.target != after.target and before.target is not None and after.target is not None:
        what.insert(0, "target")
        content = True
    if content:
        return Difference(CHANGED, path, tuple(what), before, after)
    if what:
        return Difference(ATTRIBUTES, path, tuple(what), before, after)
    if content is None and not before.is_directory and roots is not None and _same_inode(path, roots):
        return None
    return Difference(REWRITTEN, path, (), before, after)


def _attributes(before: Entry, after: Entry) -> list[str]:
    names = {"mode": "permissions", "owner": "uid", "group": "gid", "time": "time_text"}
    return [what for what, name in names.items() if getattr(before, name) != getattr(after, name)]


def _same_inode(path: bytes, roots: tuple[bytes, bytes]) -> bool:
    try:
        one, other = (os.lstat(join(root, path)) for root in roots)
    except OSError:
        return False
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _with_moves(found: list[Difference], pairs: dict[bytes, _Both], sums: _Checksums) -> list[Difference]:
    """Join removed and added files of the same size and checksum to moved ones; first those of the same last name."""
    gone: dict[tuple[int, bytes], list[bytes]] = {}
    for one in found:
        side = pairs[one.path].old
        if one.kind == REMOVED and side is not None and (checksum := sums.of(side)):
            gone.setdefault((side.entry.size, checksum), []).append(one.path)
    moved: dict[bytes, bytes] = {}
    for one in found:
        side = pairs[one.path].new
        if one.kind != ADDED or side is None or not (checksum := sums.of(side)):
            continue
        if candidates := gone.get((side.entry.size, checksum)):
            name = one.path.rpartition(b"/")[2]
            source = next((path for path in candidates if path.rpartition(b"/")[2] == name), candidates[0])
            candidates.remove(source)
            moved[one.path] = source
    sources = set(moved.values())
    result = []
    for one in found:
        if one.kind == REMOVED and one.path in sources:
            continue
        if one.path in moved and one.kind == ADDED:
            source = moved[one.path]
            before, after = pairs[source].old, pairs[one.path].new
            assert before is not None and after is not None
            what = tuple(_attributes(before.entry, after.entry))
            one = Difference(MOVED, one.path, what, before.entry, after.entry, source)
        result.append(one)
    return result
