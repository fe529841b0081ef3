"""Reads a manifest, as a stream or in pieces."""

from __future__ import annotations

import io
import json
import os
import weakref
from array import array
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import zstandard

from snapmirror import files
from snapmirror.errors import shortage
from snapmirror.snapshots import entry
from snapmirror.snapshots.lines import (
    Line,
    Numbered,
    all_numbered,
    as_lines,
    since_prefix,
    symlinks_of,
    with_number,
)
from snapmirror.snapshots.manifest import pieces
from snapmirror.snapshots.manifest.pieces import Piece, Place
from snapmirror.snapshots.manifest.text import (
    FORMAT,
    IN_PIECES,
    LONGEST_LINE,
    MOST_WINDOW,
    WHOLE,
    DamagedManifest,
    Header,
    Totals,
    taken_apart,
)

_BLOCK = 1 << 18
_HEAD_BYTES = 1 << 16  # read at once, until it is known whether everything will be read
_AHEAD_BYTES = 1 << 18
_SPARSE, _FEW = 3, 64
_MOST_PER_BYTE = 10  # entries; usually a tenth of one
_MOST_TEXT = 1 << 27  # bytes of a piece


class Reader:
    """Reads a manifest as a stream, or in pieces. Raises DamagedManifest as soon as something is wrong."""

    def __init__(self, source: Path | bytes) -> None:
        self.name = str(source) if isinstance(source, Path) else "the new manifest"
        self._source = source
        self.body = 0
        """The byte at which its pieces begin."""
        # What reads the file knows the reader weakly: in a cycle, one that is dropped would keep the file open, and the
        # store mounted, until Python happens to look for cycles.
        me: Reader = weakref.proxy(self)
        self._text = Reader._read(me)
        self.header, self.totals = self._first(next(self._text, []))
        self.numbers = array("I")
        self.places: list[Place] = []
        """Its index, if it is in pieces."""
        self._entries = Reader._after_numbers(me)
        self._pending: list[Line] = next(self._entries, [])
        self.links: list[Numbered] = []
        """The numbered lines of further names; complete once `plain` or `pieces` has ended."""

    def _damaged(self, how: str) -> DamagedManifest:
        return DamagedManifest(
            f"the manifest {self.name} {how}",
            hint="the snapshot's files can be read all the same; 'snapmirror run --full' makes a new snapshot",
        )

    def _open(self) -> IO[bytes]:
        try:
            if not isinstance(self._source, Path):
                return io.BytesIO(self._source)
            file = files.reading(self._source, buffering=0)
            _advise(file, 0, 0, os.POSIX_FADV_RANDOM)
            return file
        except FileNotFoundError:
            raise self._damaged("is missing") from None
        except files.ForeignError as error:
            raise self._damaged(error.what) from error
        except OSError as error:
            raise self._damaged(f"cannot be read: {error.strerror}") from error

    def _read(self) -> Generator[list[bytes]]:
        """The lines of the file in blocks; the first block is the first line alone."""
        rest, first = b"", True
        with self._open() as self._file:
            try:
                with zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW).stream_reader(
                    self._file, read_across_frames=True, read_size=_HEAD_BYTES
                ) as stream:
                    while chunk := stream.read1(_BLOCK):
                        *lines, rest = (rest + chunk).split(b"\n")
                        if len(rest) > LONGEST_LINE:
                            raise self._damaged("has a line without an end")
                        if lines and first:
                            first = False
                            yield lines[:1]
                            del lines[0]
                        if lines:
                            yield lines
            except (zstandard.ZstdError, OSError) as error:
                raise shortage(error) or self._damaged(f"is damaged: {error}") from error
        if rest:
            raise self._damaged("is cut")

    def _first(self, lines: list[bytes]) -> tuple[Header, Totals]:
        try:
            fields = json.loads(lines[0])
            if fields["format"] != FORMAT:
                raise self._damaged("is no manifest")
            if fields["version"] not in (WHOLE, IN_PIECES):
                raise self._damaged(f"has version {fields['version']}; this program reads up to version {IN_PIECES}")
            totals = Totals(*(int(fields[name]) for name in ("entries", "links", "files", "size")))
            if not 0 <= totals.links <= totals.entries:
                raise self._damaged("has more links than entries")
            if totals.entries > self._most_entries():
                raise self._damaged("is too small for its entries")
            self.body = int(fields.get("body", 0))
            return Header(str(fields["id"]), int(fields["sequence"])), totals
        except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
            raise self._damaged("is no manifest") from None

    def _most_entries(self) -> int:
        """No list of names is compressed more: a small file with a false number of entries must not fill the memory."""
        return _MOST_PER_BYTE * (self._size() + 100)

    def _size(self) -> int:
        return self._source.stat().st_size if isinstance(self._source, Path) else len(self._source)

    def _after_numbers(self) -> Generator[list[Line]]:
        """Read the numbers and the index, then yield the entries."""
        for lines in self._text:
            taken = 0
            for line in lines:
                if line[:1] == b"#":
                    self._run(line)
                elif line[:1] == b"@":
                    self._place(line)
                else:
                    break
                taken += 1
            if taken < len(lines):
                yield as_lines(lines[taken:])
        # (a manifest of no tree has no entries, and no numbers)

    def _run(self, line: bytes) -> None:
        try:
            count, number = map(int, line[1:].split(b" "))
            if count < 1 or len(self.numbers) + count > self.totals.entries:
                raise self._damaged("has more numbers than entries")
            self.numbers.extend(array("I", [number]) * count)
        except (ValueError, OverflowError):
            raise self._damaged("has a damaged number") from None

    def _place(self, line: bytes) -> None:
        if len(self.places) >= self.totals.entries:
            raise self._damaged("has more pieces than entries")
        try:
            self.places.append(pieces.parse_place(line))
        except ValueError:
            raise self._damaged("has a damaged index") from None

    def pieces(self) -> Generator[Piece]:
        """The plain entries in pieces, each read when its lines are requested. Once only, instead of `plain`."""
        if not self.places:
            yield from map(pieces.in_memory, self.plain())
            return
        self._check_numbers()
        if sum(place.count for place in self.places) != self.totals.entries:
            raise self._damaged("has an index of other entries")
        if not 0 <= self.body <= self._size() - sum(place.gap + place.length for place in self.places):
            raise self._damaged("is cut")
        self.close()
        with self._open() as self._file:
            frames, seen = _Frames(self._file), 0
            for at, place in pieces.located(self.places, self.body):
                load = partial(self._load, frames, at, place)
                if seen < self.totals.entries - self.totals.links:
                    frames.passed += 1
                    yield Piece(place.count, place.digest, load)
                else:
                    numbers = self.numbers[seen : seen + place.count]
                    self.links += all_numbered(numbers, load())
                seen += place.count
        if len(self.links) != self.totals.links:
            raise self._damaged("has an index of other entries")

    def _load(self, frames: _Frames, at: int, place: Place) -> list[Line]:
        try:
            return frames.lines(at, place)
        except (zstandard.ZstdError, OSError, ValueError) as error:
            raise shortage(error) or self._damaged(f"is damaged: {error}") from error

    def _check_numbers(self) -> None:
        if len(self.numbers) != self.totals.entries:
            raise self._damaged("lacks numbers")

    def plain(self) -> Iterator[list[Line]]:
        """The plain entries, in blocks, without numbers: the one at place i has `numbers[i]`. Can be read once."""
        self._check_numbers()
        _advise(self._file, 0, 0, os.POSIX_FADV_NORMAL)
        left, seen = self.totals.entries - self.totals.links, 0
        blocks = self._blocks()
        for lines in blocks:
            plain = lines[:left]
            left -= len(plain)
            if plain:
                yield plain
            for line in lines[len(plain) :]:
                place = seen + len(plain) + len(self.links)
                if place >= self.totals.entries:
                    raise self._damaged("goes on after its end")
                self.links.append(with_number(since_prefix(self.numbers[place]), line))
            seen += len(plain)
        if seen + len(self.links) != self.totals.entries:
            raise self._damaged("is cut")

    def _blocks(self) -> Iterator[list[Line]]:
        if self._pending:
            yield self._pending
        yield from self._entries

    def used_numbers(self) -> set[int]:
        """Every number that an entry has."""
        return set(self.numbers)

    def close(self) -> None:
        """Close the file after an incomplete reading: an open file would keep the store mounted."""
        self._entries.close()
        self._text.close()

    def reopened(self) -> Reader:
        """The same manifest, to be read from its beginning."""
        return Reader(self._source)

    def symlinks(self) -> list[Line]:
        """The plain lines of symlinks; reads the file again."""
        return [line for block in self.reopened().plain() for line in symlinks_of(block)]

    def __iter__(self) -> Iterator[Numbered]:
        """Every entry as a numbered line, the links last."""
        place = 0
        for block in self.plain():
            yield from all_numbered(self.numbers[place : place + len(block)], block)
            place += len(block)
        yield from self.links

    def entries(self) -> Iterator[tuple[int, entry.Entry]]:
        """Number and entry, parsed. Raises DamagedManifest."""
        return map(self.taken_apart, self)

    def taken_apart(self, line: Numbered) -> tuple[int, entry.Entry]:
        """Number and entry of one of its lines. Raises DamagedManifest."""
        try:
            return taken_apart(line)
        except entry.BadLine as error:
            raise self._damaged(f"is damaged: {error}") from error


class _Frames:
    """The pieces of an open manifest. If every third one passed is requested, all are read: requests are expensive,
    too.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._unpacker = zstandard.ZstdDecompressor()
        self.passed = self._asked = self._ahead = 0

    def lines(self, at: int, place: Place) -> list[Line]:
        """The lines of a piece. Raises ZstdError, OSError, ValueError."""
        self._asked += 1
        if self.passed >= _FEW and self._asked * _SPARSE >= self.passed and at + place.length > self._ahead:
            _advise(self._file, at, _AHEAD_BYTES, os.POSIX_FADV_WILLNEED)
            self._ahead = at + _AHEAD_BYTES
        self._file.seek(at)
        packed = self._file.read(place.length)
        if not 0 < zstandard.frame_content_size(packed) <= min(place.count * LONGEST_LINE, _MOST_TEXT):
            raise ValueError("a piece of an impossible size")
        text = self._unpacker.decompress(packed)
        *lines, rest = text.split(b"\n")
        if rest or len(lines) != place.count or pieces.digest_of(text) != place.digest:
            raise ValueError("a piece that is another one")
        return as_lines(lines)


def _advise(file: IO[bytes], start: int, length: int, advice: int) -> None:
    if not (file.closed or isinstance(file, io.BytesIO)):  # (a small one is read, and closed, by now)
        os.posix_fadvise(file.fileno(), start, length, advice)
