"""Pieces: a tree's entries in runs of some hundreds, so that unchanged ones are neither read nor written again.

The end of a piece depends on its last line alone, so an added or removed line moves no other end: two texts that differ
in one place are cut alike everywhere else (content-defined chunking, as in borg). Equal pieces have equal digests.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from hashlib import blake2b
from zlib import crc32

from msgspec import Struct

from snapmirror.snapshots.lines import Line

MANY_ENTRIES = 300_000
"""With fewer entries, reading all is faster than comparing pieces."""
_ENDS = 0x7F  # one line in 128 ends a piece: 3 kB packed
MOST_LINES = 1024
"""The most lines of a piece."""
DIGEST_BYTES = 16
BLOCK = 4096
"""The unit, in bytes, in which files can share content: the usual block of file systems."""
_SKIPPABLE, _LEAST_GAP = 0x184D2A50, 8  # a frame that every reader of zstd skips


class Piece:
    """Consecutive entries, with the digest of their text: empty if it is not known."""

    def __init__(self, count: int, digest: bytes, load: Callable[[], list[Line]]) -> None:
        self.count, self.digest, self._load = count, digest, load

    @property
    def beside_change(self) -> bool:
        """Whether an unchanged piece may be next to changed lines: one that was compared line by line."""
        return not self.digest

    @cached_property
    def lines(self) -> list[Line]:
        """The entries; reading them may raise DamagedManifest."""
        return self._load()

    @cached_property
    def text(self) -> bytes:
        """The entries as text, each with the end of its line."""
        return text_of(self.lines)


def in_memory(lines: list[Line]) -> Piece:
    """Lines that are compared one by one."""
    return Piece(len(lines), b"", lambda: lines)


def text_of(lines: list[Line]) -> bytes:
    """The text of a piece, each line with its end."""
    return b"\n".join(lines) + b"\n"


def digest_of(text: bytes) -> bytes:
    """The digest by which pieces are compared."""
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


# --- their places in a file


class Place(Struct, frozen=True):
    """The place of a piece: a zstd frame of `length` bytes, after `gap` empty bytes. `crc` is the frame's."""

    count: int
    length: int
    gap: int
    crc: int
    digest: bytes

    @property
    def line(self) -> bytes:
        """The line of it in the index of a manifest."""
        return b"@%d %d %d %08x %s\n" % (self.count, self.length, self.gap, self.crc, self.digest.hex().encode())


def parse_place(line: bytes) -> Place:
    """One line of an index. Raises ValueError."""
    count, length, gap, crc, digest = line.removeprefix(b"@").split(b" ")
    place = Place(int(count), int(length), int(gap), int(crc, 16), bytes.fromhex(digest.decode()))
    if not (0 < place.count <= MOST_LINES and place.length > 0 and 0 <= place.gap < 2 * BLOCK):
        raise ValueError("a piece that cannot be")
    return place


def located(places: Iterable[Place], at: int) -> Iterator[tuple[int, Place]]:
    """The offset of each frame in the file; the first of them, or its gap, begins at byte `at`."""
    for place in places:
        at += place.gap
        yield at, place
        at += place.length


def gap_to(at: int, wanted: int) -> int:
    """The number of empty bytes that move `at` to the same offset in its block as `wanted`."""
    gap = (wanted - at) % BLOCK
    return gap + BLOCK if 0 < gap < _LEAST_GAP else gap


def nothing(size: int) -> bytes:
    """So many bytes (none, or eight and more) that a reader of zstd skips."""
    return struct.pack("<II", _SKIPPABLE, size - _LEAST_GAP) + bytes(size - _LEAST_GAP) if size else b""
