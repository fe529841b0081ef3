"""The comparison that makes a plan: the last snapshot's manifest and tonight's listing, read side by side.

The next manifest is made in the same pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Protocol

from msgspec import Struct

from snapmirror.errors import ListingError
from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import path_of
from snapmirror.snapshots.lines import (
    Line,
    Numbered,
    files_of,
    holds_file,
    is_entry,
    is_file,
    is_link,
    items_of,
    kind_of,
    since_prefix,
    time_of,
    unnumbered,
    usual_items,
    with_number,
)
from snapmirror.snapshots.links import is_grouped, resolve
from snapmirror.snapshots.manifest import Former, Header, Piece, Totals, Writer
from snapmirror.snapshots.merge import Pair, Text, differences, link_differences
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.times import IsNearest, is_nearest

_SAMPLE = 4
MOST_CHANGES = 20_000
"""If more names have changed in a night, the list of changes is not kept."""


class Manifest(Text, Former, Protocol):
    """The old side of a plan."""

    @property
    def links(self) -> list[Numbered]:
        """The numbered lines of further names."""

    def symlinks(self) -> list[Line]:
        """The plain lines of symlinks."""

    def reopened(self) -> Manifest:
        """The same, to be read from its beginning."""

    def close(self) -> None:
        """Close what is open."""


class Doubt(Struct, frozen=True):
    """Which unchanged files may still have changed: lines have whole seconds, and a file may change again in the second
    in which it was fetched. These are the files with the number `fetched` and the time `since` (as in lines) or later.
    """

    fetched: int
    since: bytes

    def of(self, lines: Sequence[Line], numbers: Sequence[int]) -> Iterator[Line]:
        """The doubtful ones of these lines."""
        if self.fetched in numbers:
            for line, number in zip(lines, numbers, strict=True):
                if number == self.fetched and is_file(line) and time_of(line) >= self.since:
                    yield line


def compare(
    old: Manifest,
    listing: Iterator[list[Line]],
    header: Header,
    *,
    marked: Set[bytes],
    left_out: Set[bytes] = frozenset(),
    is_nearest: IsNearest = is_nearest,
    doubt: Doubt | None = None,
) -> Plan:
    """The plan that turns the tree of manifest `old` into that of `listing` (in blocks), and the next manifest.

    Lines of the listing that are not entries are skipped. `marked` are paths that count as changed although their lines
    are equal: a full run has found a difference that lines do not show. `left_out` are kinds of entries that the store
    cannot keep, `is_nearest` knows the times that it can store, `doubt` selects the `doubtful` lines of the plan.
    Raises OutOfOrder, ListingError.
    """
    plan = Plan(header.id, header.sequence)
    writer = Writer.after(old, header)
    number = since_prefix(header.sequence)
    new_links: list[Line] = []
    changed = Spool[Numbered, Line]()
    sample = _Sample(old.totals.entries)

    def same(piece: Piece, place: int) -> None:
        numbers = old.numbers[place : place + piece.count]
        if doubt is not None:
            plan.doubtful.extend(doubt.of(piece.lines, numbers))
        if marked:
            for offset, line in enumerate(piece.lines):
                if entry.parse(line).path in marked:
                    changed.append((with_number(since_prefix(numbers[offset]), line), line))
                    numbers[offset] = header.sequence
        else:
            sample.passed(piece, place)
        writer.number(numbers)

    def stays(line: Line) -> bool:
        """Whether it is an entry, and one among the plain ones."""
        if not is_entry(line):
            return False
        if kind_of(line) in left_out:
            plan.left_out += 1
            return False
        if is_link(line):
            checked(line)
            new_links.append(line)
            return False
        return True

    def listed() -> Iterator[Piece]:
        usual = usual_items(left_out)
        plain = (lines if items_of(lines) <= usual else [line for line in lines if stays(line)] for lines in listing)
        return writer.putting(plain)

    settled: list[tuple[Numbered, Line]] = []
    for before, after in differences(old, listed(), same):
        if after is not None:
            checked(after)
            writer.number([header.sequence])
            if before and entry.is_settled(unnumbered(before), after, is_nearest) and path_of(after) not in marked:
                settled.append((before, after))
                continue
        changed.append((before, after))
    _keep_settled(plan, settled, changed, old.links, new_links)
    plan.sample = sample.files
    plan.totals = _totals(old.totals, changed, old.links, new_links)
    new_links.sort(key=entry.path_key)
    grouped = resolve(plan, changed, old.symlinks, old.links, new_links, marked, number)
    for line in grouped.lines:
        writer.add(line)
    if len(changed) <= MOST_CHANGES:
        plan.differing = Spool((before, with_number(number, after) if after else None) for before, after in changed)
        plan.differing.extend(link_differences(old.links, grouped.lines))
    for before, after in changed:
        if grouped.names and is_grouped((before, after), grouped.names):
            continue
        if after is None:
            assert before is not None
            plan.delete.append(before)
        else:
            plan.transfer.append((before, after))
    plan.old_entries = old.totals.entries
    writer.totals.files, writer.totals.size = plan.totals.files, plan.totals.size
    plan.manifest = writer.finish()
    plan.totals = writer.totals
    return plan


def _keep_settled(
    plan: Plan,
    settled: list[tuple[Numbered, Line]],
    changed: Spool[Numbered, Line],
    old_links: list[Numbered],
    new_links: list[Line],
) -> None:
    """Entries are unchanged if only the time differs because the manifest has the disk's time, not the listed one.

    In hard link groups a name must have the attributes that its further names have.
    """
    if not settled:
        return
    grouped = {entry.parse(unnumbered(line)).leader for line in old_links} | {
        entry.parse(line).leader for line in new_links
    }
    grouped |= {path_of(unnumbered(line)) for line in old_links}
    for before, after in settled:
        if path_of(after) in grouped:
            changed.append((before, after))
        else:
            plan.corrections[after] = before


class _Sample:
    """A few unchanged files, spread over the tree: next to changes, as the slot's folders are read there anyway."""

    def __init__(self, entries: int) -> None:
        self._step, self._next = max(1, entries // _SAMPLE), 0
        self._beside: list[Line] = []
        self._anywhere: list[Line] = []

    def passed(self, piece: Piece, place: int) -> None:
        """Unchanged lines, from this place on."""
        if not piece.beside_change:
            self._anywhere = self._anywhere or files_of(piece.lines)[:1]
        elif place + piece.count > self._next:
            files = files_of((piece.lines[-1], piece.lines[0]))
            if files:
                self._beside.append(files[0])
                self._next = place + piece.count + self._step

    @property
    def files(self) -> list[Line]:
        """Their lines."""
        return self._beside or self._anywhere


def checked(line: Line) -> entry.Entry:
    """Check a line that the source lists. Its content becomes names on the store, so it must be a valid entry.

    Raises ListingError.
    """
    try:
        return entry.parse(line)
    except entry.BadLine as bad:
        raise ListingError(f"the source lists {bad.message}") from bad


def _totals(before: Totals, changed: Iterable[Pair], old_links: list[Numbered], new_links: list[Line]) -> Totals:
    """Files and bytes after the changes."""
    files, size = before.files, before.size
    for old, new in changed:
        if old is not None and holds_file(old):
            files, size = files - 1, size - entry.size_of(unnumbered(old))
        if new is not None and kind_of(new) == b"f":
            files, size = files + 1, size + entry.size_of(new)
    files += len(files_of(new_links))
    files -= sum(holds_file(line) for line in old_links)
    return Totals(files=files, size=size)


def in_order(listing: Iterator[list[Line]]) -> Iterator[list[Line]]:
    """A listing that is not in rsync's order, sorted in memory."""
    lines = [line for block in listing for line in block if is_entry(line)]
    yield sorted(lines, key=entry.path_key)
