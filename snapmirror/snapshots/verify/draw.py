"""Draws the stored contents to read next: those whose checksum is in a range, and a name of each.

A checksum is a number, and contents are spread evenly over all numbers. So a place among them separates the contents
read in this round from the others, whatever arrives or expires meanwhile; every name of an inode has the same place, in
every snapshot; and neither a list of the contents read nor a walk of the tree is needed.

A name keeps its number until it changes. So a name with the number n is in the snapshot of that number, and, once that
has expired, in the next one that is kept, if in any: only the manifests of such next ones are searched for names. Each
manifest is read at its own place of a round.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Set
from contextlib import suppress
from typing import NamedTuple

from msgspec import Struct, field

from snapmirror.errors import DamageError
from snapmirror.snapshots import checksums
from snapmirror.snapshots.entry import escape, path_of, size_of, unescape
from snapmirror.snapshots.history import History
from snapmirror.snapshots.lines import Numbered, holds_file, name_of, number_of, since_prefix, unnumbered, with_number
from snapmirror.snapshots.manifest import DamagedManifest, Reader
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.verify.findings import CHECKSUMS, MANIFEST, Report, without_checksums

WHOLE = 1 << 64
"""The number of places: the first 16 of a checksum's 32 digits."""
AGAIN = -1
"""The offset of contents that are read again, whatever their place."""
_DIGITS = 16
_EMPTY = b"d41d8cd98f00b204e9800998ecf8427e"  # the MD5 of an empty file: there is nothing to read


class Drawn(Struct):
    """Contents of a range of places, from `start` on, `width` long: offset and MD5, by number and escaped name."""

    start: int
    width: int
    wanted: dict[int, dict[bytes, tuple[int, bytes]]] = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)  # of the checksums found
    damaged: dict[int, str] = field(default_factory=dict)


class Content(NamedTuple):
    """A name under which a content can be read. `md5` is in bytes; `size` is approximate."""

    offset: int
    md5: bytes
    snapshot: Snapshot
    number: int
    path: bytes
    size: int


def place_of(checksum: bytes) -> int:
    """The place of a checksum (hexadecimal digits). Raises ValueError."""
    return int(checksum[:_DIGITS], 16)


def draw(history: History, start: int, width: int, most: int, again: Set[tuple[int, bytes]] = frozenset()) -> Drawn:
    """The contents from the place `start` on. If there are more than about `most`, the range is shortened.

    `again` are number and path of further ones, whatever their place.
    """
    drawn, limit = Drawn(start, width), 2 * most
    found: list[tuple[int, int, bytes, bytes]] = []
    for number in range(1, history.next_sequence()):
        path = history.checksums(number)
        if not path.exists():
            continue
        drawn.numbers.add(number)
        try:
            for name, checksum in checksums.read(path):
                offset = (place_of(checksum) - start) % WHOLE
                if offset < drawn.width and checksum != _EMPTY:
                    found.append((offset, number, escape(name), _digest(checksum)))
                    if len(found) >= limit:
                        drawn.width = _shortened(found, most, drawn.width)
                        limit = max(limit, 2 * len(found))
                if (number, name) in again:
                    drawn.wanted.setdefault(number, {})[escape(name)] = AGAIN, _digest(checksum)
        except DamageError as damage:
            drawn.damaged[number] = damage.message
        except ValueError:
            drawn.damaged[number] = f"the checksum file {path} is damaged: it holds something else"
    for offset, number, name, md5 in found:
        if offset < drawn.width:
            drawn.wanted.setdefault(number, {}).setdefault(name, (offset, md5))
    return drawn


def _digest(checksum: bytes) -> bytes:
    """Its 16 bytes. Raises ValueError."""
    md5 = bytes.fromhex(checksum.decode("ascii"))
    if 2 * len(md5) != len(_EMPTY):
        raise ValueError("no MD5")
    return md5


def _shortened(found: list[tuple[int, int, bytes, bytes]], most: int, width: int) -> int:
    """Keep about `most` of them; return the new end of the range. Contents at one place stay together."""
    found.sort()
    offset = found[most][0]
    if offset == found[0][0]:
        offset = next((one[0] for one in found if one[0] > offset), width)
    found[:] = [one for one in found if one[0] < offset]
    return offset


def names(history: History, drawn: Drawn, report: Report) -> Iterator[Content]:
    """A name of each of them that is still stored, the oldest snapshot first, in the order of the tree.

    Names of one hard link group may come one by one. Manifests and checksum files that are damaged or missing become
    findings.
    """
    answered = 0
    for snapshot in sorted(history.snapshots(), key=lambda one: one.sequence):
        yield from _own(history, snapshot, drawn.wanted.get(snapshot.sequence, {}))
        try:
            yield from _inherited(history, snapshot, answered, drawn, report)
            answered = snapshot.sequence
        except DamagedManifest as damage:  # later manifests are searched for its numbers
            report.add(snapshot.id, MANIFEST, None, damage.message)


def _own(history: History, snapshot: Snapshot, wanted: dict[bytes, tuple[int, bytes]]) -> Iterator[Content]:
    """The contents that are new in a snapshot."""
    if not wanted:
        return
    tree = Tree(history.mounted(snapshot))
    for name, (offset, md5) in wanted.items():
        path, size = unescape(name), 0
        with suppress(OSError, DamageError):  # reading the content reports the reason
            size = os.lstat(tree.at(path)).st_size
        yield Content(offset, md5, snapshot, snapshot.sequence, path, size)


def _inherited(history: History, snapshot: Snapshot, answered: int, drawn: Drawn, report: Report) -> Iterator[Content]:
    """The contents in a snapshot that come from expired ones, after the snapshot number `answered`."""
    reader = Reader(history.manifest(snapshot))
    try:
        if (reader.header.id, reader.header.sequence) != (snapshot.id, snapshot.sequence):
            raise DamagedManifest(f"{reader.name} is the manifest of {reader.header.id}, not of {snapshot.id}")
        used = reader.used_numbers()
        for number in sorted(used):
            if number not in drawn.numbers or number in drawn.damaged:
                said = drawn.damaged.get(number) or without_checksums(number)
                report.add(snapshot.id, CHECKSUMS, None, said, number)
        asked = {number for number in used & drawn.wanted.keys() if answered < number < snapshot.sequence}
        if not asked and _turn(snapshot, drawn.start) >= drawn.width:
            return
        for line in _lines(reader, asked):
            number = number_of(line)
            content = drawn.wanted[number].get(name_of(line))
            if content is not None and holds_file(line):
                size, path = size_of(unnumbered(line)), path_of(unnumbered(line))
                yield Content(*content, snapshot, number, path, size)
    except ValueError as error:
        raise DamagedManifest(f"{reader.name} is damaged: {error}") from error
    finally:
        reader.close()


def _turn(snapshot: Snapshot, start: int) -> int:
    """The offset of a manifest."""
    md5 = hashlib.md5(snapshot.id.encode(), usedforsecurity=False)
    return (place_of(md5.hexdigest().encode()) - start) % WHOLE


def _lines(reader: Reader, numbers: Set[int]) -> Iterator[Numbered]:
    """The numbered lines of a manifest that have one of these numbers. Reads all of it: so a cut one is noticed."""
    place = 0
    for block in reader.plain():
        of_block = reader.numbers[place : place + len(block)]
        place += len(block)
        if not numbers.isdisjoint(of_block):
            for number, line in zip(of_block, block, strict=True):
                if number in numbers:
                    yield with_number(since_prefix(number), line)
    for link in reader.links:
        if number_of(link) in numbers:
            yield link
