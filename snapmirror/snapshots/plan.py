"""The plan of a night: the changes to make to the slot.

A plan is only data: `--dry-run` shows it, a night applies it. `compare` makes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from functools import cached_property

from msgspec import Struct, field

from snapmirror.snapshots import entry
from snapmirror.snapshots.lines import Line, Numbered, is_directory, kind_of, unnumbered
from snapmirror.snapshots.manifest import Totals
from snapmirror.snapshots.merge import Pair
from snapmirror.snapshots.spool import Spool


class Plan(Struct, dict=True):
    """The changes that turn a copy of the last snapshot into tonight's.

    `transfer` are single names, `groups` hard link groups that are transferred whole (each a list of pairs), `links`
    further names for an inode that the copy already has (name, existing name), `delete` old lines without a new one.
    `held_back` are deletions that are not made because the listing may lack unreadable names; `corrections` are for
    `manifest`, see `manifest.rewritten`; `sample` are a few unchanged lines; `left_out` counts entries that the store
    cannot keep. `differing` are all lines in which `manifest` differs from the one before, both sides numbered, unless
    there are too many. `doubtful` are unchanged lines that may hide a change, see `Doubt`. `bound` are names that are
    deleted or get another inode, while another name keeps theirs, or stands for it: of a hard link group of which no
    name stays, all but one are bound.
    """

    id: str
    sequence: int
    transfer: Spool[Numbered, Line] = field(default_factory=Spool)
    groups: list[list[Pair]] = field(default_factory=list)
    links: list[tuple[Pair, bytes]] = field(default_factory=list)
    delete: list[Numbered] = field(default_factory=list)
    old_entries: int = 0
    totals: Totals = field(default_factory=Totals)
    sample: list[Line] = field(default_factory=list)
    manifest: bytes = b""
    corrections: dict[Line, Numbered | None] = field(default_factory=dict)
    held_back: list[Numbered] = field(default_factory=list)
    left_out: int = 0
    differing: Spool[Numbered, Numbered] | None = None
    doubtful: list[Line] = field(default_factory=list)
    bound: Set[bytes] = frozenset()

    def pairs(self) -> Iterator[Pair]:
        """Everything that is requested from rsync."""
        yield from self.transfer
        for group in self.groups:
            yield from group

    @property
    def requested(self) -> int:
        """The number of names that are requested from rsync."""
        return len(self.transfer) + sum(map(len, self.groups))

    @cached_property
    def counts(self) -> dict[str, int]:
        """Added, updated, attributes only, linked, deleted; and the bytes of everything added or updated."""
        counts = {"added": 0, "updated": 0, "attributes": 0, "linked": len(self.links), "deleted": len(self.delete)}
        moved = 0
        for old, new in self.pairs():
            kind = classify(old, new)
            counts[kind] += 1
            if kind != "attributes" and new is not None and kind_of(new) == b"f":
                moved += entry.size_of(new)
        for group in self.groups:  # one file, whatever its number of names
            moved -= sum(entry.size_of(new) for _, new in group[1:] if new is not None)
        return {**counts, "bytes": max(0, moved)}

    def changes(self) -> Iterator[tuple[str, bytes]]:
        """The change of each name, for people."""
        for old, new in self.pairs():
            assert new is not None
            yield classify(old, new), entry.parse(new).path
        for (_, new), _target in self.links:
            assert new is not None
            yield "linked", entry.parse(new).path
        for line in self.delete:
            yield "deleted", entry.parse(unnumbered(line)).path

    @property
    def is_empty(self) -> bool:
        """Whether nothing has changed."""
        return not (self.transfer or self.groups or self.links or self.delete)


def classify(old: Numbered | None, new: Line | None) -> str:
    """The word for the change of one entry."""
    if new is None:
        return "deleted"
    if old is None:
        return "added"
    before, after = unnumbered(old).split(b"|", 6), new.split(b"|", 6)
    if before[0][1:] != after[0][1:]:
        return "updated"
    if after[0][1:] == b"d":
        return "attributes"
    same_data = before[4:6] == after[4:6] and (after[0][1:] != b"L" or before[6] == after[6])
    return "attributes" if same_data else "updated"


def hold_back_deletions(plan: Plan) -> None:
    """Delete only names that are in the way of something new: the listing is incomplete."""
    new = {entry.parse(line).path for _, line in plan.pairs() if line is not None and not is_directory(line)}
    new_folders = {entry.parse(line).path for _, line in plan.pairs() if line is not None and is_directory(line)}
    still: list[Numbered] = []
    for line in plan.delete:
        path = entry.parse(unnumbered(line)).path
        above = path.split(b"/")
        in_the_way = path in new_folders or any(b"/".join(above[:depth]) in new for depth in range(1, len(above) + 1))
        (still if in_the_way else plan.held_back).append(line)
    plan.delete = still
