"""Pieces: a tree's entries in runs of some hundreds, so that what has not changed is neither read nor written again.

Where a piece ends is told by its last line alone, so a line more or less moves no other end: two texts that differ in
one place are cut alike everywhere else (content-defined chunking, as borg's). Equal pieces have equal digests.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from zlib import crc32

from snapmirror.snapshots.lines import Line

MANY_ENTRIES = 300_000
"""Of fewer the whole is read in less time than their pieces are looked at."""
_ENDS = 0x7F  # one line of 128 ends a piece: 3 kB packed
MOST_LINES = 1024
"""A piece ends here at the latest."""
DIGEST_BYTES = 16
BLOCK = 4096
"""Bytes of a file that can be shared with another one: what file systems have for a block, usually."""
_SKIPPABLE, _LEAST_GAP = 0x184D2A50, 8  # a frame that every reader of zstd passes over


class Piece:
    """Entries in a row, with the digest of their text: empty if it is not known."""

    def __init__(self, count: int, digest: bytes, load: Callable[[], list[Line]]) -> None:
        self.count, self.digest, self._load = count, digest, load

    @property
    def beside_change(self) -> bool:
        """Whether an unchanged piece may stand next to lines that have changed: one that was compared line by line."""
        return not self.digest

    @cached_property
    def lines(self) -> list[Line]:
        """The entries; reading them may raise DamagedManifest."""
        return self._load()

    @cached_property
    def text(self) -> bytes:
        """The same, each with the end of its line."""
        return text_of(self.lines)


def in_memory(lines: list[Line]) -> Piece:
    """Lines that are compared one by one."""
    return Piece(len(lines), b"", lambda: lines)


def text_of(lines: list[Line]) -> bytes:
    """The text of a piece, each line with its end."""
    return b"\n".join(lines) + b"\n"


def digest_of(text: bytes) -> bytes:
    """What tells two pieces apart."""
    return blake2b(text, digest_size=DIGEST_BYTES).digest()


def is_end(line: Line) -> bool:
    """Whether a piece ends with this line."""
    return not crc32(line) & _ENDS


def cut(blocks: Iterable[list[Line]]) -> Iterator[Piece]:
    """A text in pieces."""
    pending: list[Line] = []
    for lines in blocks:
        start = 0
        for end in [place for place, crc in enumerate(map(crc32, lines), start=1) if not crc & _ENDS]:
            pending += lines[start:end]
            start = end
            yield from _pieces(pending)
            pending = []
        pending += lines[start:]
    yield from _pieces(pending)


def _pieces(lines: list[Line]) -> Iterator[Piece]:
    for start in range(0, len(lines), MOST_LINES):
        piece = in_memory(lines[start : start + MOST_LINES] if len(lines) > MOST_LINES else lines)
        piece.digest = digest_of(piece.text)
        yield piece


# --- where they are in a file


@dataclass(frozen=True)
class Place:
    """Where a piece is: a zstd frame of `length` bytes, after `gap` bytes that hold nothing. `crc` is the frame's."""

    count: int
    length: int
    gap: int
    crc: int
    digest: bytes

    @property
    def line(self) -> bytes:
        """As the index of a manifest has it."""
        return b"@%d %d %d %08x %s\n" % (self.count, self.length, self.gap, self.crc, self.digest.hex().encode())


def parse_place(line: bytes) -> Place:
    """One line of an index. Raises ValueError."""
    count, length, gap, crc, digest = line.removeprefix(b"@").split(b" ")
    place = Place(int(count), int(length), int(gap), int(crc, 16), bytes.fromhex(digest.decode()))
    if not (0 < place.count <= MOST_LINES and place.length > 0 and 0 <= place.gap < 2 * BLOCK):
        raise ValueError("a piece that cannot be")
    return place


def located(places: Iterable[Place], at: int) -> Iterator[tuple[int, Place]]:
    """Where in the file each frame begins, the first of them, or its gap, at byte `at`."""
    for place in places:
        at += place.gap
        yield at, place
        at += place.length


def gap_to(at: int, wanted: int) -> int:
    """So many bytes of nothing bring `at` to the same place in its block as `wanted`."""
    gap = (wanted - at) % BLOCK
    return gap + BLOCK if 0 < gap < _LEAST_GAP else gap


def nothing(size: int) -> bytes:
    """So many bytes (none, or eight and more) that a reader of zstd passes over."""
    return struct.pack("<II", _SKIPPABLE, size - _LEAST_GAP) + bytes(size - _LEAST_GAP) if size else b""
