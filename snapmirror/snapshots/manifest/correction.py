"""A manifest with what turned out otherwise than planned: what vanished, what changed while it was sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from snapmirror.snapshots import entry
from snapmirror.snapshots.manifest.reader import Reader
from snapmirror.snapshots.manifest.text import PREFIX, Header, Totals, since_prefix
from snapmirror.snapshots.manifest.writer import Writer


def rewritten(
    source: bytes,
    header: Header,
    *,
    corrections: dict[bytes, bytes | None],
    renumbered: Set[bytes] = frozenset(),
    added: Iterable[bytes] = (),
) -> bytes:
    """The manifest `source` with corrections.

    `corrections` gives for lines (without number) the numbered lines to stand instead, or None; `renumbered` are paths
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
        leads_now = line[:1] == b"h" and new[PREFIX : PREFIX + 1] != b"h"
        if leads_now or entry.path_key(new[PREFIX:]) != entry.path_key(line):  # (a file that is a folder now)
            corrections[line] = None
            added.append(new)
    links = [line for line in added if line[PREFIX : PREFIX + 1] == b"h"]
    waiting = [line for line in added if line[PREFIX : PREFIX + 1] != b"h"]
    waiting.sort(key=lambda line: entry.path_key(line[PREFIX:]), reverse=True)
    _count(writer.totals, None, [*links, *waiting])

    def put(numbered: bytes) -> None:
        new: bytes | None = numbered
        if numbered[PREFIX:] in corrections:
            new = corrections[numbered[PREFIX:]]
            _count(writer.totals, numbered, [new] if new else [])
        if new is None:
            return
        if renumbered and entry.parse(new[PREFIX:]).path in renumbered:
            new = number + new[PREFIX:]
        if new[PREFIX : PREFIX + 1] == b"h":
            links.append(new)
            return
        if waiting:
            key = entry.path_key(new[PREFIX:])
            while waiting and entry.path_key(waiting[-1][PREFIX:]) < key:
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
                put(since_prefix(one) + line)
    for line in reader.links:
        put(line)
    for line in reversed(waiting):
        writer.add(line)
    for line in sorted(links, key=lambda line: entry.path_key(line[PREFIX:])):
        writer.add(line)
    return writer.finish()


def _count(totals: Totals, gone: bytes | None, come: Sequence[bytes]) -> None:
    """Let the totals follow a change of numbered lines."""
    for sign, line in [(-1, gone), *((1, line) for line in come)]:
        if line is not None and line[PREFIX + 1 : PREFIX + 2] == b"f":
            totals.files += sign
            if line[PREFIX : PREFIX + 1] != b"h":
                totals.size += sign * entry.size_of(line[PREFIX:])
