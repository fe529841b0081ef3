"""Writes a manifest."""

from __future__ import annotations

import io
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Protocol
from zlib import crc32

import zstandard
from msgspec.structs import asdict

from snapmirror.snapshots.lines import Line, Numbered, is_link, number_of, unnumbered
from snapmirror.snapshots.manifest import pieces
from snapmirror.snapshots.manifest.pieces import BLOCK, MOST_LINES, Piece, Place
from snapmirror.snapshots.manifest.text import FORMAT, IN_PIECES, WHOLE, Header, Totals

_LEVEL = 3
_FLUSH_LINES = 4096


class Former(Protocol):
    """The manifest before: the next one is written in the same form."""

    @property
    def totals(self) -> Totals:
        """Its totals."""

    @property
    def places(self) -> Sequence[object]:
        """Its pieces, if it is in pieces."""


class Writer:
    """Builds a manifest in memory, compressed (some 20 bytes an entry): it is written at once when it is correct."""

    def __init__(self, header: Header, *, in_pieces: bool = False) -> None:
        self._header, self._in_pieces = header, in_pieces
        self._packer = _packer()
        self._stream = self._packer.compressobj()
        self._body = io.BytesIO()
        self._places: list[Place] = []
        self._lines: list[Line] = []
        self._numbers = array("I")
        self.totals = Totals()

    @classmethod
    def after(cls, former: Former, header: Header) -> Writer:
        """A writer in pieces, if the former manifest is in pieces, or is that of a big tree."""
        return cls(header, in_pieces=bool(former.places) or former.totals.entries >= pieces.MANY_ENTRIES)

    def putting(self, blocks: Iterable[list[Line]]) -> Iterator[Piece]:
        """Put blocks of entries, and pass them on in the form to be compared with the former manifest."""
        for piece in pieces.cut(blocks) if self._in_pieces else map(pieces.in_memory, filter(None, blocks)):
            self.put(piece)
            yield piece

    def put(self, piece: Piece) -> None:
        """Put entries, none of them a link. The caller adds their numbers, and all `totals` except `entries`."""
        if not self._in_pieces:
            self._end()
            self._body.write(self._stream.compress(piece.text))
        elif piece.digest and not self._lines:
            self._pack(piece.count, piece.text, piece.digest)
        else:
            for line in piece.lines:
                self._append(line)

    def number(self, numbers: Iterable[int]) -> None:
        """Add the numbers of the next entries among those that were put."""
        self._numbers.extend(numbers)

    def add(self, numbered: Numbered) -> None:
        """Add one entry, with its number before it."""
        line = unnumbered(numbered)
        if is_link(line):
            if not self.totals.links:
                self._end()
            self.totals.links += 1
        self._numbers.append(number_of(numbered))
        self._append(line)

    def _append(self, line: Line) -> None:
        self._lines.append(line)
        if not self._in_pieces:
            if len(self._lines) >= _FLUSH_LINES:
                self._end()
        elif pieces.is_end(line) or len(self._lines) >= MOST_LINES:
            self._end()

    def _end(self) -> None:
        if self._lines:
            text = pieces.text_of(self._lines)
            if self._in_pieces:
                self._pack(len(self._lines), text, pieces.digest_of(text))
            else:
                self._body.write(self._stream.compress(text))
            self._lines = []

    def _pack(self, count: int, text: bytes, digest: bytes) -> None:
        frame = self._packer.compress(text)
        self._body.write(frame)
        self._places.append(Place(count, len(frame), 0, crc32(frame), digest))

    def finish(self) -> bytes:
        """Close the manifest and return the file's bytes."""
        self._end()
        if not self._in_pieces:
            self._body.write(self._stream.flush())
        self.totals.entries = len(self._numbers)
        return b"".join((head(self._header, self.totals, self._numbers, self._places), self._body.getbuffer()))


def _packer() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)


def head(header: Header, totals: Totals, numbers: array[int], places: Sequence[Place]) -> bytes:
    """The bytes before the entries; before pieces, up to the beginning of a block."""
    first = {"format": FORMAT, "version": IN_PIECES if places else WHOLE, **asdict(header), **asdict(totals)}
    runs = (b"#%d %d\n" % (len(list(run)), number) for number, run in groupby(numbers))
    rest = b"".join([*runs, *(place.line for place in places)])
    if not places:
        return _packer().compress(json.dumps(first).encode() + b"\n" + rest)
    rest, body = _packer().compress(rest), BLOCK
    while True:
        begin = _packer().compress(json.dumps({**first, "body": body}).encode() + b"\n") + rest
        needed = len(begin) + pieces.gap_to(len(begin), 0)
        if needed <= body:
            return begin + pieces.nothing(body - len(begin))
        body = needed
