"""rsync's wire, as much as a sender needs, in two protocols: 29 (old and simple) and 31 (which has ACLs and xattrs).

A `Wire` frames what it writes and takes the frames off what it reads. `Entry` is one name of a file list.
Numbers are little-endian; protocol 31 packs them (`varint`, `varlong`) and numbers files by differences.
"""

from __future__ import annotations

import hashlib
import stat
import struct
import zlib
from dataclasses import dataclass
from typing import IO

FILE, FOLDER, SYMLINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
DATA, ERROR, INFO = 7, 10, 9  # tags of multiplexed frames; ERROR is what goes to the client's stderr
TIME = 1_000_000_000
DONE = -1
_PACKED, _MOST_PACKED, _SYNC = 0x40, 0x3FFF, b"\0\0\xff\xff"
_GIVES_UP = 7 + 86  # what a client says before it goes, in protocol 31; it waits until the sender has gone
_EXTENDED, _SAME_NAME, _LONG_NAME, _LINKED, _FIRST_LINK = 0x04, 0x20, 0x40, 0x200, 0x1000
_SAFE_LIST, _ALL_XATTRS, _SEED_FIXED = 8, 16, 32  # what protocol 31 is told at the start; no recursion in pieces


@dataclass(frozen=True)
class Options:
    """What the client asks for in its short options; it decides how an entry is packed."""

    acls: bool = False
    xattrs: bool = False
    hard_links: bool = False
    dry: bool = False
    recursive: bool = False
    compress: bool = False
    checksums: bool = False

    @classmethod
    def of(cls, args: list[bytes]) -> Options:
        letters = b"".join(word[1:].partition(b"e")[0] for word in args if word[:1] == b"-" and word[1:2] != b"-")
        compress = b"z" in letters or b"--old-compress" in args
        acls, xattrs, hard_links, dry, recursive, checksums = (letter in letters for letter in b"AXHnrc")
        return cls(acls, xattrs, hard_links, dry, recursive, compress, checksums)


@dataclass(frozen=True)
class Entry:
    """A name as a sender tells it. `content` decides the size unless `size` is given; `group` joins hard links.

    `checksum`: what is told where checksums are asked for, instead of the content's.
    """

    mode: int = FILE
    content: bytes = b""
    size: int | None = None
    mtime: int = TIME
    uid: int = 0
    gid: int = 0
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    group: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    checksum: bytes | None = None

    def told_checksum(self, options: Options) -> bytes:
        """The checksum in a list; empty where none belongs."""
        if not options.checksums or not stat.S_ISREG(self.mode):
            return b""
        return self.checksum or hashlib.md5(self.content, usedforsecurity=False).digest()

    @property
    def length(self) -> int:
        """Bytes, as the list tells them."""
        if self.size is not None:
            return self.size
        return len(self.target) if stat.S_ISLNK(self.mode) else len(self.content)


class Plain:
    """The content of one file, in pieces."""

    def piece(self, data: bytes) -> bytes:
        """A piece of at least one byte."""
        return struct.pack("<i", len(data)) + data

    def end(self) -> bytes:
        """The end of the content."""
        return struct.pack("<i", 0)


class Compressed(Plain):
    """The same as rsync's zlib sends it: what both sides speak if they have not agreed on another.

    The last mark of a flush is not sent: the receiver adds it.
    """

    def __init__(self) -> None:
        self._stream = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._mark = b""

    def piece(self, data: bytes) -> bytes:
        flushed = self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        packed, self._mark = self._mark + flushed.removesuffix(_SYNC), _SYNC
        parts = (packed[start : start + _MOST_PACKED] for start in range(0, len(packed), _MOST_PACKED))
        return b"".join(bytes([_PACKED | len(part) >> 8, len(part) & 0xFF]) + part for part in parts)

    def end(self) -> bytes:
        return b"\0"


class Wire:
    """Both directions of one connection, in protocol 29."""

    protocol = 29
    start = b""  # what follows the exchange of versions

    def __init__(self, file: IO[bytes], options: Options) -> None:
        self.file, self.options = file, options
        self._sent = 0  # entries
        self._groups: dict[int, int] = {}

    def read(self, size: int) -> bytes:
        return self.file.read(size)

    def frame(self, data: bytes, tag: int = DATA) -> None:
        """A frame of the multiplexed stream: data of the protocol, or a message to the client's user."""
        most = 0x8000 if tag == DATA else 1000
        for start in range(0, len(data), most):
            piece = data[start : start + most]
            self.file.write(struct.pack("<I", tag << 24 | len(piece)) + piece)

    def read_int(self) -> int:
        data = self.read(4)
        return int(struct.unpack("<i", data)[0]) if len(data) == 4 else 0

    def read_number(self) -> int | None:
        """The number of a file that is asked for, DONE, or None at the end of the stream."""
        data = self.read(4)
        return int(struct.unpack("<i", data)[0]) if len(data) == 4 else None

    def number(self, number: int) -> bytes:
        return struct.pack("<i", number)

    def read_wanted_xattrs(self) -> bytes:
        """Values too long for the list, which are asked for with a file; returns the answer, which has none."""
        return b""

    def entry(self, name: bytes, one: Entry) -> bytes:
        """An entry of the file list."""
        linked = one.group if self.options.hard_links and not stat.S_ISDIR(one.mode) else 0
        size, device = one.length, stat.S_ISCHR(one.mode) or stat.S_ISBLK(one.mode)
        special = stat.S_ISFIFO(one.mode) or stat.S_ISSOCK(one.mode)
        self._sent += 1
        return b"".join(
            (
                struct.pack("<H", _LONG_NAME | _EXTENDED | _LINKED) if linked else bytes([_LONG_NAME]),
                struct.pack("<I", len(name)), name,
                struct.pack("<iQ", -1, size) if size > 0x7FFFFFFF else struct.pack("<i", size),
                struct.pack("<IIII", one.mtime, one.mode, one.uid, one.gid),
                struct.pack("<II", *one.device) if device or special else b"",
                struct.pack("<I", len(one.target)) + one.target if stat.S_ISLNK(one.mode) else b"",
                struct.pack("<ii", 1, linked) if linked else b"",
                one.told_checksum(self.options),
            )
        )  # fmt: skip

    def end_of_list(self) -> bytes:
        return b"\0" + struct.pack("<I", 0)

    def goodbye(self) -> None:
        """Statistics, and the end."""
        self.frame(b"\0" * 20)
        self.file.flush()
        self.read(4)


class NewWire(Wire):
    """The same in protocol 31."""

    protocol = 31
    start = bytes([_SAFE_LIST | _ALL_XATTRS | _SEED_FIXED])

    def __init__(self, file: IO[bytes], options: Options) -> None:
        super().__init__(file, options)
        self._rest = b""
        self._last_asked = self._last_told = -1

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            head = self.file.read(4)
            if len(head) < 4:
                return b""
            (word,) = struct.unpack("<I", head)
            data = self.file.read(word & 0xFFFFFF)
            if word >> 24 == _GIVES_UP:
                return b""
            if word >> 24 == DATA:
                self._rest += data
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def read_number(self) -> int | None:
        first = self.read(1)
        if first in (b"", b"\0"):
            return DONE if first else None
        if first == b"\xff":  # what was deleted, five numbers, which are said again
            counts = [self._read_varint() for _ in self.read(1) + b"four"]
            self.frame(b"\xff\2" + b"".join(map(varint, counts)))
            return self.read_number()
        if first == b"\xfe":
            high, low = self.read(2)
            if high & 0x80:
                rest = self.read(2)
                self._last_asked = (high & 0x7F) << 24 | low | rest[0] << 8 | rest[1] << 16
            else:
                self._last_asked += high << 8 | low
        else:
            self._last_asked += first[0]
        return self._last_asked

    def number(self, number: int) -> bytes:
        if number == DONE:
            return b"\0"
        difference, self._last_told = number - self._last_told, number
        if 0 < difference < 0xFE:
            return bytes([difference])
        if 0 <= difference <= 0x7FFF:
            return b"\xfe" + struct.pack(">H", difference)
        return b"\xfe" + bytes([number >> 24 | 0x80, number & 0xFF, number >> 8 & 0xFF, number >> 16 & 0xFF])

    def read_wanted_xattrs(self) -> bytes:
        while self._read_varint():
            pass
        return b"\0"

    def entry(self, name: bytes, one: Entry) -> bytes:
        linked = one.group if self.options.hard_links and not stat.S_ISDIR(one.mode) else 0
        first = self._groups.setdefault(linked, self._sent) if linked else self._sent
        flags, follows = _LONG_NAME | (_EXTENDED | _LINKED if linked else 0), first != self._sent
        flags |= _FIRST_LINK if linked and not follows else 0
        self._sent += 1
        head = struct.pack("<H", flags) if linked else bytes([flags])
        return head + varint(len(name)) + name + (varint(first) if follows else self._body(one)) + self._extras(one)

    def _body(self, one: Entry) -> bytes:
        device = stat.S_ISCHR(one.mode) or stat.S_ISBLK(one.mode)
        return b"".join(
            (
                varlong(one.length, 3), varlong(one.mtime, 4), struct.pack("<I", one.mode),
                varint(one.uid), varint(one.gid),
                b"".join(map(varint, one.device)) if device else b"",
                varint(len(one.target)) + one.target if stat.S_ISLNK(one.mode) else b"",
                one.told_checksum(self.options),
            )
        )  # fmt: skip

    def _extras(self, one: Entry) -> bytes:
        """No ACL (a folder has two), and the extended attributes, of 32 bytes at most."""
        acls = b"" if stat.S_ISLNK(one.mode) else b"\0\0" * (2 if stat.S_ISDIR(one.mode) else 1)
        pairs = [
            varint(len(name) + 1) + varint(len(value)) + name + b"\0" + value for name, value in sorted(one.xattrs)
        ]
        return (acls if self.options.acls else b"") + (
            b"\0" + varint(len(pairs)) + b"".join(pairs) if self.options.xattrs else b""
        )

    def end_of_list(self) -> bytes:
        return b"\0"

    def goodbye(self) -> None:
        self.frame(varlong(0, 3) * 5)
        self.file.flush()
        self.read_number()
        self.frame(self.number(DONE))
        self.file.flush()
        self.read_number()

    def _read_varint(self) -> int:
        first = self.read(1)
        if not first:
            return 0
        more = 0
        while first[0] << more & 0x80:
            more += 1
        kept = first[0] & (0xFF >> more + 1)
        return int.from_bytes(self.read(more) + bytes([kept]), "little")


def varint(number: int) -> bytes:
    """A number of 32 bits: the first byte tells how many follow."""
    return _packed(number & 0xFFFFFFFF, 4, 1)


def varlong(number: int, least: int) -> bytes:
    """A number of 64 bits in so many bytes at least."""
    return _packed(number & 0xFFFFFFFFFFFFFFFF, 8, least)


def _packed(number: int, most: int, least: int) -> bytes:
    data = number.to_bytes(most, "little")
    count = max(least, len(data.rstrip(b"\0")))
    bit = 1 << 7 - count + least
    if data[count - 1] >= bit:
        return bytes([~(bit - 1) & 0xFF]) + data[:count]
    head = data[count - 1] | (~(bit * 2 - 1) & 0xFF if count > least else 0)
    return bytes([head]) + data[: count - 1]


WIRES: dict[int, type[Wire]] = {29: Wire, 31: NewWire}
