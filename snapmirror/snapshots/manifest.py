"""Manifests: what a snapshot holds, one line an entry, in a file that `zstdcat` reads.

    {"format": "snapmirror manifest", "version": 1, "id": "2026-11-20T030000Z", "sequence": 12}
    0000003 .d|rwxr-xr-x|0|0|4096|2026/11/19-21:04:11|./
    0000001 .f|rw-r--r--|0|0|5120|2024/02/01-03:00:00|etc/fstab
    ...
    {"entries": 200000, "links": 14}

Before each entry (see `entry`) stands the sequence number of the snapshot since which this name has had its inode. Two
snapshots of one store share the inode of a name exactly if both manifests hold the same line, number included: that is
what a slot is recycled by. Entries stand in rsync's order (`entry.path_key`); the further names of hard link groups
come after all others, in the same order among themselves. The last line closes the file: without it, it is damaged.
A zstd checksum covers the whole.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import zstandard

from snapmirror.errors import DamageError
from snapmirror.snapshots import entry

FORMAT = "snapmirror manifest"
VERSION = 1
PREFIX = 8
"""Bytes before an entry: seven digits and a blank."""
_LEVEL = 3
_FLUSH_LINES = 4096


class DamagedManifest(DamageError):
    """A manifest is missing, cut, or not what it says; whoever can do without it does, and says so."""


@dataclass(frozen=True)
class Header:
    """The first line of a manifest."""

    id: str
    sequence: int


def since_prefix(sequence: int) -> bytes:
    """The bytes that stand before an entry whose inode was new in this snapshot."""
    return b"%07d " % sequence


class Writer:
    """Builds a manifest in memory, compressed (some 15 bytes an entry): it is written in one go when it is true."""

    def __init__(self, header: Header) -> None:
        self._buffer = io.BytesIO()
        self._stream = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).stream_writer(
            self._buffer, closefd=False
        )
        self._lines: list[bytes] = []
        self.entries = 0
        self.links = 0
        self.files = 0
        self.bytes = 0
        self._put(json.dumps({"format": FORMAT, "version": VERSION, **header.__dict__}).encode())

    def _put(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) >= _FLUSH_LINES:
            self._flush()

    def _flush(self) -> None:
        self._lines.append(b"")
        self._stream.write(b"\n".join(self._lines))
        self._lines.clear()

    def add(self, numbered_line: bytes) -> None:
        """One entry, with its number before it."""
        self.entries += 1
        if numbered_line[PREFIX : PREFIX + 1] == b"h":
            self.links += 1
        self._lines.append(numbered_line)
        if len(self._lines) >= _FLUSH_LINES:
            self._flush()

    def finish(self) -> bytes:
        """Close the manifest and return the file's bytes."""
        self._put(json.dumps({"entries": self.entries, "links": self.links}).encode())
        self._flush()
        self._stream.flush(zstandard.FLUSH_FRAME)
        return self._buffer.getvalue()


class Reader:
    """Reads a manifest as a stream of numbered lines. Raises DamagedManifest as soon as something is wrong."""

    def __init__(self, source: Path | bytes) -> None:
        self.name = str(source) if isinstance(source, Path) else "the new manifest"
        self._source = source
        self._chunks = self._read()
        try:
            first = next(self._chunks)
        except StopIteration:
            raise self._damaged("is empty") from None
        self.header = self._header(first[0])
        self._rest = first[1:]

    def _damaged(self, how: str) -> DamagedManifest:
        return DamagedManifest(f"the manifest {self.name} {how}", hint="'snapmirror run --full' writes a new one")

    def _read(self) -> Iterator[list[bytes]]:
        try:
            file = open(self._source, "rb") if isinstance(self._source, Path) else io.BytesIO(self._source)  # noqa: SIM115
        except FileNotFoundError:
            raise self._damaged("is missing") from None
        except OSError as error:
            raise self._damaged(f"cannot be read: {error.strerror}") from error
        with file:
            try:
                rest = b""
                with zstandard.ZstdDecompressor().stream_reader(file) as stream:
                    while chunk := stream.read(1 << 18):
                        *lines, rest = (rest + chunk).split(b"\n")
                        if lines:
                            yield lines
            except (zstandard.ZstdError, OSError) as error:
                raise self._damaged(f"is damaged: {error}") from error
            if rest:
                raise self._damaged("is cut")

    def _header(self, line: bytes) -> Header:
        try:
            fields = json.loads(line)
            if fields["format"] != FORMAT:
                raise self._damaged("is no manifest")
            if fields["version"] != VERSION:
                raise self._damaged(f"has version {fields['version']}; this program reads version {VERSION}")
            return Header(str(fields["id"]), int(fields["sequence"]))
        except (ValueError, KeyError, TypeError):
            raise self._damaged("is no manifest") from None

    def __iter__(self) -> Iterator[bytes]:
        count, last = 0, b""
        for lines in chain([self._rest], self._chunks):
            if last:
                raise self._damaged("goes on after its end")
            if lines and lines[-1][:1] == b"{":
                last = lines.pop()
            count += len(lines)
            yield from lines
        try:
            if json.loads(last)["entries"] != count:
                raise self._damaged(f"holds {count} entries and says otherwise")
        except (ValueError, KeyError, TypeError):
            raise self._damaged("is cut") from None

    def entries(self) -> Iterator[tuple[int, entry.Entry]]:
        """Number and entry, taken apart. Raises DamagedManifest."""
        return map(self.taken_apart, self)

    def taken_apart(self, line: bytes) -> tuple[int, entry.Entry]:
        """Number and entry of one of its lines. Raises DamagedManifest."""
        try:
            return int(line[: PREFIX - 1]), entry.parse(line[PREFIX:])
        except ValueError as error:
            raise self._damaged(f"is damaged: {error}") from error


def split_links(lines: Iterable[bytes]) -> tuple[Iterator[bytes], list[bytes]]:
    """The stream of plain entries, and the list that the links are put into once that stream has ended."""
    links: list[bytes] = []

    def plain() -> Iterator[bytes]:
        for line in lines:
            if line[PREFIX : PREFIX + 1] == b"h":
                links.append(line)
            else:
                yield line

    return plain(), links


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
    writer = Writer(header)
    links: list[bytes] = []
    number = since_prefix(header.sequence)
    waiting = sorted(added, key=lambda line: entry.path_key(line[PREFIX:]), reverse=True)
    links.extend(line for line in waiting if line[PREFIX : PREFIX + 1] == b"h")
    waiting = [line for line in waiting if line[PREFIX : PREFIX + 1] != b"h"]
    for old in Reader(source):
        line: bytes | None = old
        if old[PREFIX:] in corrections:
            line = corrections[old[PREFIX:]]
        if line is None:
            continue
        if renumbered and entry.parse(line[PREFIX:]).path in renumbered:
            line = number + line[PREFIX:]
        if line[PREFIX : PREFIX + 1] == b"h":
            links.append(line)
            continue
        if waiting:
            key = entry.path_key(line[PREFIX:])
            while waiting and entry.path_key(waiting[-1][PREFIX:]) < key:
                writer.add(waiting.pop())
        writer.add(line)
    for line in reversed(waiting):
        writer.add(line)
    for line in sorted(links, key=lambda line: entry.path_key(line[PREFIX:])):
        writer.add(line)
    return writer.finish()
