"""What a tree has lost: files that were deleted or changed since a snapshot, without those that only moved.

A pure function of the differing lines of both. Not lost are

- files that are elsewhere under the same last name, or the same name except its digits, with the same size and time:
  they were moved, or rotated (`log.1.gz` is `log.2.gz` now);
- files at the end of such a rotation, where their predecessors are now;
- deleted files with a successor: the same name except its digits (`dump-2026-11-21.sql`, `releases/41/`), or the same
  last name and size (the next release in a folder of any name).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Set
from datetime import UTC, datetime
from itertools import chain

from msgspec import Struct

from snapmirror.snapshots.entry import path_of
from snapmirror.snapshots.lines import Line, is_file, is_link, unnumbered
from snapmirror.snapshots.plan import Plan

Lines = tuple[Line | None, Line | None]
"""Old and new line of one name; None where it is absent."""
_DIGITS = re.compile(rb"[0-9]+")
_MAIL_FLAGS = b":2,"  # of a Maildir: after it only flags of the reader follow


class Mark(Struct, frozen=True):
    """The facts about a file's content in a line: its size, and its modification time as text. `bytes` counts only one
    name of a hard link group."""

    size: int
    time: bytes
    bytes: int

    def is_same(self, other: Mark | None) -> bool:
        """Whether the contents count as the same."""
        return other is not None and (self.size, self.time) == (other.size, other.time)


class Losses(Struct, frozen=True):
    """The numbers of deleted and of changed files, and the bytes of both that had been at rest. `excused` files are
    deleted or changed as well, but not lost.
    """

    gone: int = 0
    changed: int = 0
    bytes_at_rest: int = 0
    excused_gone: int = 0
    excused_changed: int = 0

    @property
    def files(self) -> int:
        """The number of lost files."""
        return self.gone + self.changed


def time_text(moment: datetime) -> bytes:
    """A time in the form of lines; the texts sort like the times."""
    return moment.astimezone(UTC).strftime("%Y/%m/%d-%H:%M:%S").encode()


def count(pairs: Iterable[Lines], *, restless: Set[bytes] = frozenset(), rest_before: bytes) -> Losses:
    """The losses in these pairs of old and new lines.

    Names in `restless` change all the time and do not count. At rest are files last changed before `rest_before`.
    """
    old: dict[bytes, Mark] = {}
    new: dict[bytes, Mark] = {}
    for before, after in pairs:
        for line, seen in ((before, old), (after, new)):
            if line is not None and is_file(line):
                seen[path_of(line)] = mark(line)
    left = {path: one for path, one in old.items() if not one.is_same(new.get(path))}
    lost = {path: one for path, one in _lost(left, old, new).items() if path not in restless}
    gone, changed = (sum((path not in new) is is_gone for path in lost) for is_gone in (True, False))
    return Losses(
        gone=gone,
        changed=changed,
        bytes_at_rest=sum(one.bytes for one in lost.values() if one.time < rest_before),
        excused_gone=sum(path not in new for path in left) - gone,
        excused_changed=sum(path in new for path in left) - changed,
    )


def mark(line: Line) -> Mark:
    """The mark of a line."""
    fields = line.split(b"|", 6)
    size = int(fields[4])
    return Mark(size, fields[5], 0 if is_link(line) else size)


def of_plan(plan: Plan, *, restless: Set[bytes] = frozenset(), rest_before: bytes = b"") -> Losses:
    """The losses of one night."""
    deleted = ((before, None) for before in plan.delete)
    pairs = chain(plan.pairs(), deleted, (pair for pair, _ in plan.links))
    lines = ((unnumbered(before) if before else None, after) for before, after in pairs)
    return count(lines, restless=restless, rest_before=rest_before)


def _lost(differs: dict[bytes, Mark], old: dict[bytes, Mark], new: dict[bytes, Mark]) -> dict[bytes, Mark]:
    left = dict(differs)
    came = {path: one for path, one in new.items() if not one.is_same(old.get(path))}
    taken: set[bytes] = set()  # the part of `came` that is matched

    def match(keys: tuple[dict[bytes, Hashable], dict[bytes, Hashable]]) -> set[bytes]:
        """Remove from `left` as many as have an equal key in `came`."""
        ours, theirs = keys
        waiting: dict[Hashable, list[bytes]] = {}
        for path, key in theirs.items():
            if path not in taken:
                waiting.setdefault(key, []).append(path)
        found = set()
        for path, key in ours.items():
            if path in left and waiting.get(key):
                del left[path]
                found.add(waiting[key].pop())
        taken.update(found)
        return found

    def moved(path: bytes, one: Mark) -> tuple[Hashable, Hashable]:
        return (one.size, one.time, _last(path)), (one.size, one.time, _pattern(path))

    for way in (0, 1):
        match((
            {path: moved(path, one)[way] for path, one in left.items()},
            {path: moved(path, one)[way] for path, one in came.items()},
        ))  # fmt: skip
    for path in taken & left.keys():
        del left[path]  # its predecessor is there now
    gone = {path: one for path, one in left.items() if path not in new}
    fresh = {path: one for path, one in came.items() if path not in old}
    match((
        {path: (one.size, _last(path)) for path, one in gone.items()},
        {path: (one.size, _last(path)) for path, one in fresh.items()},
    ))  # fmt: skip
    match((
        {path: _pattern(path) for path in gone if _DIGITS.search(path)},
        {path: _pattern(path) for path in fresh if _DIGITS.search(path)},
    ))  # fmt: skip
    return left


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2].partition(_MAIL_FLAGS)[0]


def _pattern(path: bytes) -> bytes:
    return _DIGITS.sub(b"#", path)
