"""Corrects a manifest where the night differed from the plan: names that vanished, or changed during the transfer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from snapmirror.snapshots import entry
from snapmirror.snapshots.lines import (
    Line,
    Numbered,
    holds_file,
    holds_link,
    is_link,
    since_prefix,
    unnumbered,
    with_number,
)
from snapmirror.snapshots.manifest.reader import Reader
from snapmirror.snapshots.manifest.text import Header, Totals
from snapmirror.snapshots.manifest.writer import Writer


def rewritten(
    source: bytes,
    header: Header,
    *,
    corrections: Mapping[Line, Numbered | None],
    renumbered: Set[bytes] = frozenset(),
    added: Iterable[Numbered] = (),
) -> bytes:
    """The manifest `source` with corrections.

    `corrections` maps lines (without number) to the numbered lines that replace them, or None; `renumbered` are paths
    whose inode is new after all; `added` are numbered lines that the plan had dropped.
    """
    reader, number = Reader(source), since_prefix(header.sequence)
    writer = Writer(header, in_pieces=bool(reader.places))
    writer.totals = Totals(files=reader.totals.files, size=reader.totals.size)
    corrections = dict(corrections)
    added = list(added)
    for line, new in corrections.items():
        if new is None:
            continue
        leads_now = is_link(line) and not holds_link(new)
        if leads_now or entry.path_key(unnumbered(new)) != entry.path_key(line):  # (a file that is a folder now)
            corrections[line] = None
            added.append(new)
    links = [line for line in added if holds_link(line)]
    waiting = [line for line in added if not holds_link(line)]
    waiting.sort(key=lambda line: entry.path_key(unnumbered(line)), reverse=True)
    _count(writer.totals, None, [*links, *waiting])

    def put(numbered: Numbered) -> None:
        new: Numbered | None = numbered
        if unnumbered(numbered) in corrections:
            new = corrections[unnumbered(numbered)]
            _count(writer.totals, numbered, [new] if new else [])
        if new is None:
            return
        if renumbered and entry.parse(unnumbered(new)).path in renumbered:
            new = with_number(number, unnumbered(new))
        if holds_link(new):
            links.append(new)
            return
        if waiting:
            key = entry.path_key(unnumbered(new))
            while waiting and entry.path_key(unnumbered(waiting[-1])) < key:
                writer.add(waiting.pop())
        writer.add(new)

    place = 0
    for piece in reader.pieces():
        numbers = reader.numbers[place : place + piece.count]
        place += piece.count
        if not waiting and not renumbered and corrections.keys().isdisjoint(piece.lines):
            writer.put(piece)
            writer.number(numbers)
        else:
            for line, one in zip(piece.lines, numbers, strict=True):
                put(with_number(since_prefix(one), line))
    for link in reader.links:
        put(link)
    for last in reversed(waiting):
        writer.add(last)
    for link in sorted(links, key=lambda one: entry.path_key(unnumbered(one))):
        writer.add(link)
    return writer.finish()


def _count(totals: Totals, gone: Numbered | None, come: Sequence[Numbered]) -> None:
    """Update the totals for a change of numbered lines."""
    for sign, line in [(-1, gone), *((1, line) for line in come)]:
        if line is not None and holds_file(line):
            totals.files += sign
            if not holds_link(line):
                totals.size += sign * entry.size_of(unnumbered(line))
