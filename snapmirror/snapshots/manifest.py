"""Manifests: what a snapshot holds, one line an entry, in a file that `zstdcat` reads.

    {"format": "snapmirror manifest", "version": 1, "id": "2026-11-20T030000Z", "sequence": 12, "entries": 200000, ...}
    #199998 1
    #2 12
    cd+++++++++|rwxr-xr-x|0|0|4096|2026/11/19-21:04:11|//./
    >f+++++++++|rw-r--r--|0|0|5120|2024/02/01-03:00:00|//etc/fstab
    ...

After the first line come the numbers: so many entries in a row have had their inodes since the snapshot of that number.
Then the entries (see `entry`), in rsync's order (`entry.path_key`); the further names of hard link groups stand after
all others, in the same order among themselves. Two snapshots of one store share the inode of a name exactly if line and
number are the same in both: that is what a slot is recycled by.

In memory a numbered line is the entry's with its number before it, in `PREFIX` bytes. The number of entries in the
first line tells whether the file is whole; a zstd checksum covers its contents.
"""

from __future__ import annotations

import io
import json
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import zstandard

from snapmirror.errors import DamageError, shortage
from snapmirror.snapshots import entry

FORMAT = "snapmirror manifest"
VERSION = 1
PREFIX = 8
"""Bytes of a number before an entry: seven digits and a blank."""
_LEVEL = 3
_BLOCK = 1 << 18
_FLUSH_LINES = 4096
_MOST_PER_BYTE = 10  # usually a tenth of an entry
LONGEST_LINE = 1 << 18
"""Of what is read back: name and target with 4095 bytes each, a byte in five letters, are 40 kB."""
MOST_WINDOW = 8 << 20
"""What zstd may hold to unpack; what is written needs half a megabyte."""


class DamagedManifest(DamageError):  # noqa: N818
    """A manifest is missing, cut, or not what it says; whoever can do without it does, and says so."""


@dataclass(frozen=True)
class Header:
    """What a manifest is of."""

    id: str
    sequence: int


@dataclass
class Totals:
    """What a manifest adds up to: entries, those of them that are further names of a group, files, their bytes."""

    entries: int = 0
    links: int = 0
    files: int = 0
    size: int = 0


def since_prefix(sequence: int) -> bytes:
    """The bytes that stand before an entry whose inode was new in this snapshot."""
    return b"%07d " % sequence


def taken_apart(numbered_line: bytes) -> tuple[int, entry.Entry]:
    """Number and entry. Raises BadLine."""
    try:
        number = int(numbered_line[: PREFIX - 1])
    except ValueError:
        raise entry.BadLine(f"not a number: {numbered_line[:PREFIX]!r}") from None
    return number, entry.parse(numbered_line[PREFIX:])


class Writer:
    """Builds a manifest in memory, compressed (some 15 bytes an entry): it is written in one go when it is true."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._body = io.BytesIO()
        self._stream = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).stream_writer(
            self._body, closefd=False
        )
        self._lines: list[bytes] = []
        self._numbers = array("I")
        self.totals = Totals()

    def extend(self, lines: Sequence[bytes], numbers: array[int]) -> None:
        """Entries with their numbers, none of them a link. `totals` are the caller's to count, but for `entries`."""
        self._lines.extend(lines)
        self._numbers.extend(numbers)
        if len(self._lines) >= _FLUSH_LINES:
            self._flush()

    def add(self, numbered_line: bytes) -> None:
        """One entry, with its number before it."""
        line = numbered_line[PREFIX:]
        if line[:1] == b"h":
            self.totals.links += 1
        self._lines.append(line)
        self._numbers.append(int(numbered_line[: PREFIX - 1]))
        if len(self._lines) >= _FLUSH_LINES:
            self._flush()

    def _flush(self) -> None:
        self._lines.append(b"")
        self._stream.write(b"\n".join(self._lines))
        self._lines.clear()

    def finish(self) -> bytes:
        """Close the manifest and return the file's bytes."""
        self._flush()
        self._stream.flush(zstandard.FLUSH_FRAME)
        self.totals.entries = len(self._numbers)
        first = {"format": FORMAT, "version": VERSION, **asdict(self._header), **asdict(self.totals)}
        runs = (b"#%d %d\n" % (sum(1 for _ in run), number) for number, run in groupby(self._numbers))
        head = json.dumps(first).encode() + b"\n" + b"".join(runs)
        return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(head) + self._body.getvalue()


class Lines:
    """Entries in memory: what a manifest would hold, of a tree whose inodes are of unknown age."""

    def __init__(self, lines: Sequence[bytes], number: int) -> None:
        self._plain = [line for line in lines if line[:1] != b"h"]
        self.numbers = array("I", [number]) * len(lines)
        self.links = [since_prefix(number) + line for line in lines if line[:1] == b"h"]
        files = [int(line.split(b"|", 5)[4]) for line in self._plain if line[1:2] == b"f"]
        links = sum(line[1:2] == b"f" for line in lines if line[:1] == b"h")
        self.totals = Totals(len(lines), len(self.links), len(files) + links, sum(files))

    def plain(self) -> Iterator[list[bytes]]:
        """The plain entries, in blocks."""
        yield self._plain

    def reopened(self) -> Lines:
        """The same."""
        return self

    def close(self) -> None:
        """Nothing to let go of."""

    def symlinks(self) -> list[bytes]:
        """The plain lines of symlinks."""
        return [line for line in self._plain if line[1:2] == b"L"]


NOTHING = Lines([], 0)
"""The manifest of a tree that does not exist yet."""


class Reader:
    """Reads a manifest as a stream. Raises DamagedManifest as soon as something is wrong."""

    def __init__(self, source: Path | bytes) -> None:
        self.name = str(source) if isinstance(source, Path) else "the new manifest"
        self._source = source
        self._text = self._read()
        self.header, self.totals = self._first(next(self._text, []))
        self.numbers = array("I")
        self._entries = self._after_numbers()
        self._pending: list[bytes] = next(self._entries, [])
        self.links: list[bytes] = []
        """The numbered lines of further names; complete once `plain` has ended."""

    def _damaged(self, how: str) -> DamagedManifest:
        return DamagedManifest(f"the manifest {self.name} {how}", hint="'snapmirror run --full' writes a new one")

    def _open(self) -> BinaryIO:
        try:
            return open(self._source, "rb") if isinstance(self._source, Path) else io.BytesIO(self._source)
        except FileNotFoundError:
            raise self._damaged("is missing") from None
        except OSError as error:
            raise self._damaged(f"cannot be read: {error.strerror}") from error

    def _read(self) -> Generator[list[bytes]]:
        """The lines of the file in blocks; the first block is the first line alone."""
        rest, first = b"", True
        with self._open() as file:
            try:
                with zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW).stream_reader(
                    file, read_across_frames=True
                ) as stream:
                    while chunk := stream.read(_BLOCK):
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
            if fields["version"] != VERSION:
                raise self._damaged(f"has version {fields['version']}; this program reads version {VERSION}")
            totals = Totals(*(int(fields[name]) for name in ("entries", "links", "files", "size")))
            if totals.entries > self._most_entries():
                raise self._damaged("is too small for its entries")
            return Header(str(fields["id"]), int(fields["sequence"])), totals
        except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
            raise self._damaged("is no manifest") from None

    def _most_entries(self) -> int:
        """No list of names packs better than this: what a small file says it holds must not fill the memory."""
        size = self._source.stat().st_size if isinstance(self._source, Path) else len(self._source)
        return _MOST_PER_BYTE * (size + 100)

    def _after_numbers(self) -> Generator[list[bytes]]:
        """Take the numbers off, then yield the entries."""
        for lines in self._text:
            taken = 0
            if lines[0][:1] == b"#":
                for line in lines:
                    if line[:1] != b"#":
                        break
                    self._run(line)
                    taken += 1
            if taken < len(lines):
                yield lines[taken:]
        # (a manifest of nothing has no entries, and no numbers)

    def _run(self, line: bytes) -> None:
        try:
            count, number = map(int, line[1:].split(b" "))
            if count < 1 or len(self.numbers) + count > self.totals.entries:
                raise self._damaged("has more numbers than entries")
            self.numbers.extend(array("I", [number]) * count)
        except (ValueError, OverflowError):
            raise self._damaged("has a damaged number") from None

    def plain(self) -> Iterator[list[bytes]]:
        """The plain entries, in blocks, without numbers: the one at place i has `numbers[i]`. Can be read once."""
        if len(self.numbers) != self.totals.entries:
            raise self._damaged("lacks numbers")
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
                self.links.append(since_prefix(self.numbers[place]) + line)
            seen += len(plain)
        if seen + len(self.links) != self.totals.entries:
            raise self._damaged("is cut")

    def _blocks(self) -> Iterator[list[bytes]]:
        if self._pending:
            yield self._pending
        yield from self._entries

    def used_numbers(self) -> set[int]:
        """Every number that an entry has."""
        return set(self.numbers)

    def close(self) -> None:
        """Let go of the file, for a reading that ends early: an open file would keep the store mounted."""
        self._entries.close()
        self._text.close()

    def reopened(self) -> Reader:
        """The same manifest, to be read from its beginning."""
        return Reader(self._source)

    def symlinks(self) -> list[bytes]:
        """The plain lines of symlinks; reads the file anew."""
        return [line for block in self.reopened().plain() for line in block if line[1:2] == b"L"]

    def __iter__(self) -> Iterator[bytes]:
        """Every entry as a numbered line, the links last."""
        place = 0
        for block in self.plain():
            for line in block:
                yield since_prefix(self.numbers[place]) + line
                place += 1
        yield from self.links

    def entries(self) -> Iterator[tuple[int, entry.Entry]]:
        """Number and entry, taken apart. Raises DamagedManifest."""
        return map(self.taken_apart, self)

    def taken_apart(self, line: bytes) -> tuple[int, entry.Entry]:
        """Number and entry of one of its lines. Raises DamagedManifest."""
        try:
            return taken_apart(line)
        except entry.BadLine as error:
            raise self._damaged(f"is damaged: {error}") from error


def rewritten(
    source: bytes,
    header: Header,
    *,
    corrections: dict[bytes, bytes | None],
    renumbered: Set[bytes] = frozenset(),
    added: Iterable[bytes] = (),
) -> bytes:
    """A manifest with what turned out otherwise than planned.

    `corrections` gives for lines (without number) the numbered lines to stand instead, or None; `renumbered` are paths
    whose inode is new after all; `added` are numbered lines that the plan had dropped.
    """
    writer, reader, number = Writer(header), Reader(source), since_prefix(header.sequence)
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
    for block in reader.plain():
        numbers = reader.numbers[place : place + len(block)]
        place += len(block)
        if not waiting and not renumbered and corrections.keys().isdisjoint(block):
            writer.extend(block, numbers)
        else:
            for line, one in zip(block, numbers, strict=True):
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
