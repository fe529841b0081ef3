"""The plan of a night: what the new snapshot must get, as the difference of two texts.

`compare` reads the last snapshot's manifest and tonight's listing side by side and builds the plan and the next
manifest in the same pass. A plan is only data: `--dry-run` shows it, a night applies it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from snapmirror.snapshots import entry
from snapmirror.snapshots.links import resolve
from snapmirror.snapshots.manifest import PREFIX, Header, Writer, since_prefix, split_links
from snapmirror.snapshots.merge import OutOfOrder, Pair, differences


@dataclass
class Plan:
    """What has to happen to a copy of the last snapshot so that it becomes tonight's.

    `transfer` are single names, `groups` hard link groups that travel whole (each a list of pairs), `links` further
    names for an inode that the copy already has (name, existing name), `delete` old lines without a new one.
    `held_back` are deletions that do not happen because the listing may lack what could not be read; `corrections` are
    for `manifest`, see `manifest.rewritten`.
    """

    id: str
    sequence: int
    transfer: list[Pair] = field(default_factory=list)
    groups: list[list[Pair]] = field(default_factory=list)
    links: list[tuple[Pair, bytes]] = field(default_factory=list)
    delete: list[bytes] = field(default_factory=list)
    old_entries: int = 0
    new_entries: int = 0
    files: int = 0
    size: int = 0
    manifest: bytes = b""
    corrections: dict[bytes, bytes | None] = field(default_factory=dict)
    held_back: list[bytes] = field(default_factory=list)

    def pairs(self) -> Iterator[Pair]:
        """Everything that rsync is asked for."""
        yield from self.transfer
        for group in self.groups:
            yield from group

    @property
    def counts(self) -> dict[str, int]:
        """Added, updated, attributes only, linked, deleted; and the bytes of all that is added or updated."""
        counts = {"added": 0, "updated": 0, "attributes": 0, "linked": len(self.links), "deleted": len(self.delete)}
        moved = 0
        for old, new in self.pairs():
            kind = classify(old, new)
            counts[kind] += 1
            if kind != "attributes" and new is not None and new[1:2] == b"f":
                moved += size_of(new)
        for group in self.groups:  # one file, however many names
            moved -= sum(size_of(new) for _, new in group[1:] if new is not None)
        return {**counts, "bytes": max(0, moved)}

    def changes(self) -> Iterator[tuple[str, bytes]]:
        """What happens to each name, for people."""
        for old, new in self.pairs():
            assert new is not None
            yield classify(old, new), entry.parse(new).path
        for (_, new), _target in self.links:
            assert new is not None
            yield "linked", entry.parse(new).path
        for line in self.delete:
            yield "deleted", entry.parse(line[PREFIX:]).path

    @property
    def is_empty(self) -> bool:
        """Whether nothing has changed."""
        return not (self.transfer or self.groups or self.links or self.delete)


def size_of(line: bytes) -> int:
    """Size in bytes of a (not numbered) line's file."""
    return int(line.split(b"|", 5)[4])


def classify(old: bytes | None, new: bytes | None) -> str:
    """Name what happens to one entry."""
    if new is None:
        return "deleted"
    if old is None:
        return "added"
    before, after = old[PREFIX:].split(b"|", 6), new.split(b"|", 6)
    if before[0][1:] != after[0][1:]:
        return "updated"
    if after[0][1:] == b"d":
        return "attributes"
    same_data = before[4:6] == after[4:6] and (after[0][1:] != b"L" or before[6] == after[6])
    return "attributes" if same_data else "updated"


def compare(old: Iterable[bytes], listing: Iterable[bytes], header: Header, *, marked: set[bytes]) -> Plan:
    """The plan that turns the tree of manifest `old` into that of `listing`, and the next manifest.

    `marked` are paths that count as changed although their lines are equal: a full run has found that they differ in
    what a line does not show.
    """
    plan = Plan(header.id, header.sequence)
    writer = Writer(header)
    number = since_prefix(header.sequence)
    old_plain, old_links = split_links(old)
    new_links: list[bytes] = []
    changed: list[Pair] = []
    symlinks: list[bytes] = []
    old_count = 0

    def same(line: bytes) -> None:
        nonlocal old_count
        old_count += 1
        if marked and entry.parse(line[PREFIX:]).path in marked:
            changed.append((line, line[PREFIX:]))
            writer.add(number + line[PREFIX:])
        else:
            writer.add(line)
            if line[PREFIX + 1 : PREFIX + 2] == b"L":
                symlinks.append(line[PREFIX:])

    def plain() -> Iterator[bytes]:
        for line in listing:
            if line[:1] == b"h":
                new_links.append(line)
            else:
                code = line[1:2]
                if code == b"f":
                    plan.files += 1
                    plan.size += int(line.split(b"|", 5)[4])
                yield line

    for before, after in differences(old_plain, plain(), same):
        changed.append((before, after))
        if before is not None:
            old_count += 1
        if after is not None:
            writer.add(number + after)
    new_links.sort(key=entry.path_key)
    plan.files += len(new_links)
    for line in resolve(plan, changed, symlinks, old_links, new_links, marked, number):
        writer.add(line)
    for before, after in changed:
        if after is None:
            assert before is not None
            plan.delete.append(before)
        else:
            plan.transfer.append((before, after))
    plan.old_entries = old_count + len(old_links)
    plan.new_entries = writer.entries
    plan.manifest = writer.finish()
    return plan


def hold_back_deletions(plan: Plan) -> None:
    """Delete nothing, but for what is in the way of something new: the listing is not complete."""
    new = {entry.parse(line).path for _, line in plan.pairs() if line is not None and line[1:2] != b"d"}
    new_folders = {entry.parse(line).path for _, line in plan.pairs() if line is not None and line[1:2] == b"d"}
    still: list[bytes] = []
    for line in plan.delete:
        path = entry.parse(line[PREFIX:]).path
        above = path.split(b"/")
        in_the_way = path in new_folders or any(b"/".join(above[:depth]) in new for depth in range(1, len(above) + 1))
        (still if in_the_way else plan.held_back).append(line)
    plan.delete = still


def compare_unordered(old: Iterable[bytes], listing: list[bytes], header: Header, *, marked: set[bytes]) -> Plan:
    """The same for a listing that is not in rsync's order; sorted in memory."""
    return compare(old, sorted(listing, key=entry.path_key), header, marked=marked)


__all__ = ["OutOfOrder", "Plan", "classify", "compare", "compare_unordered", "hold_back_deletions", "size_of"]
