"""Reads a LUKS header from its bytes and checks that it is like those that `init` makes. Runs no program, uses no key.

A header has a checksum and no authentication: an attacker who can write the image can set the cipher of a LUKS2 segment
to `cipher_null-ecb`, and the key still opens it; data written from then on is unencrypted. So neither the content of a
header nor the position of its parts is trusted before it equals a known one (see `known_header`).

Formats: LUKS1 On-Disk Format 1.2.3, LUKS2 On-Disk Format 1.1.1.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from snapmirror.tools import luks

_MAGIC = b"LUKS\xba\xbe"
_LUKS1 = struct.Struct(">6sH32s32s32sII20s32sI40s")
_SLOT1 = struct.Struct(">II32sII")
_SLOTS1, _ACTIVE1 = 8, 0x00AC71F3
_LUKS2 = struct.Struct(">6sHQQ48s32s64s40s48sQ184s64s")
_CHECKSUM2 = slice(448, 512)
_HEAD2 = 4096
_SIZES2 = tuple(0x4000 << step for step in range(9))  # 16 KiB … 4 MiB, half of each is JSON
_SECTOR = 512
_MOST_BYTES = 64 << 20  # before the content; cryptsetup uses 2 MiB for LUKS1, 16 MiB for LUKS2

Read = Callable[[int, int], bytes]
"""Reads a number of bytes from an offset; fewer at the end."""


class Unreadable(Exception):  # noqa: N818  (becomes a sentence)
    """Why the bytes are not a usable header."""


class Header(Struct, frozen=True):
    """A LUKS header. `spans` are all of its meaningful bytes: first byte, length. `odd` says, in words, how it differs
    from those that `init` makes; the content begins at byte `offset`.
    """

    version: int
    uuid: str
    offset: int
    spans: tuple[tuple[int, int], ...]
    odd: tuple[str, ...] = ()


def read(file: Path) -> Header:
    """The header at the start of a file. Raises Unreadable, or OSError."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return parse(lambda start, length: os.pread(descriptor, length, start))
    finally:
        os.close(descriptor)


def parse(read_: Read) -> Header:
    """Parse a header from any source. Raises Unreadable."""
    head = read_(0, _HEAD2)
    if len(head) < _HEAD2 or not head.startswith(_MAGIC):
        raise Unreadable("it does not begin as one")
    version = int.from_bytes(head[6:8], "big")
    if version == 1:
        return _parse1(head)
    if version == 2:
        return _parse2(head, read_)
    raise Unreadable(f"version {version}")


def same(one: Path, other: Path, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether two files are equal in these ranges. Raises OSError."""
    with one.open("rb", buffering=0) as first, other.open("rb", buffering=0) as second:
        return all(_stretch(first.fileno(), *span) == _stretch(second.fileno(), *span) for span in spans)


def _stretch(descriptor: int, start: int, length: int) -> bytes:
    return os.pread(descriptor, length, start)


def copy(source: Path, target: Path, header: Header) -> None:
    """Make `target`, a copy of only the header, with its size in the image; it must not exist. Raises OSError.

    It holds key slots: only its owner may read it.
    """
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, header.offset)
        with source.open("rb", buffering=0) as file:
            for start, length in header.spans:
                os.pwrite(descriptor, _stretch(file.fileno(), start, length), start)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- LUKS1


def _parse1(head: bytes) -> Header:
    _, _, cipher, mode, hash_, offset, key_bytes, _, _, _, uuid = _LUKS1.unpack_from(head)
    odd = _unlike("cipher", f"{_text(cipher)}-{_text(mode)}", luks.CIPHER)
    odd += _unlike("size of the key", key_bytes, luks.KEY_BYTES)
    odd += _unlike("hash", _text(hash_), "sha256")
    start = offset * _SECTOR
    spans = [(0, _LUKS1.size + _SLOTS1 * _SLOT1.size)]
    for number in range(_SLOTS1):
        active, _, _, at, stripes = _SLOT1.unpack_from(head, _LUKS1.size + number * _SLOT1.size)
        if active == _ACTIVE1:
            spans.append((at * _SECTOR, luks.KEY_BYTES * stripes))
    return _checked(Header(1, _text(uuid), start, tuple(spans), tuple(odd)))


# --- LUKS2


def _parse2(head: bytes, read_: Read) -> Header:
    _, _, size, _, _, algorithm, _, uuid, _, _, _, checksum = _LUKS2.unpack_from(head)
    if size not in _SIZES2:
        raise Unreadable(f"it says that it has {size} bytes")
    text = read_(_HEAD2, size - _HEAD2)
    blank = bytearray(head)
    blank[_CHECKSUM2] = bytes(64)
    if _text(algorithm) != "sha256" or hashlib.sha256(bytes(blank) + text).digest() != checksum[:32]:
        raise Unreadable("its checksum is wrong")
    try:
        return _described(json.loads(text.partition(b"\0")[0]), _text(uuid), size)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"its JSON is not understood ({type(error).__name__})") from error


def _described(data: dict[str, Any], uuid: str, size: int) -> Header:
    """A header from the JSON of LUKS2. The JSON may be anything: a missing field raises a KeyError, and so on."""
    odd: list[str] = []
    offset = 0
    for segment in data["segments"].values():
        odd += _unlike("cipher", segment.get("encryption", segment["type"]), luks.CIPHER)
        odd += _unlike("size of a sector", segment.get("sector_size"), luks.SECTOR_BYTES)
        odd += _unlike("tweak", segment.get("iv_tweak"), "0")
        odd += _unlike("integrity", segment.get("integrity"), None)
        odd += _unlike("length", segment["size"], "dynamic")
        offset = int(segment["offset"])
    odd += _unlike("segments", list(data["segments"]), ["0"])
    spans = [(0, 2 * size)]
    for slot in data["keyslots"].values():
        area = slot["area"]
        odd += _unlike("kind of a key slot", slot["type"], "luks2")
        odd += _unlike("cipher of a key slot", area["encryption"], luks.CIPHER)
        odd += _unlike("size of the key", (slot["key_size"], area["key_size"]), (luks.KEY_BYTES, luks.KEY_BYTES))
        if slot["kdf"]["type"] not in ("argon2id", "argon2i", "pbkdf2"):
            odd.append(f"the key of a slot is derived by {slot['kdf']['type']!s:.40}")
        spans.append((int(area["offset"]), int(area["size"])))
    covered = [digest for digest in data["digests"].values() if "0" in digest["segments"]]
    if not covered or any(digest["type"] != "pbkdf2" for digest in covered):
        odd.append("no digest covers the content")
    odd += _unlike("requirements", data["config"].get("requirements") or None, None)
    odd += _unlike("length of the header", 2 * size + int(data["config"]["keyslots_size"]), offset)
    return _checked(Header(2, uuid, offset, tuple(spans), tuple(odd)))


def _checked(header: Header) -> Header:
    """Check the extent of a header, so that a false one does not make us read gigabytes."""
    if not _HEAD2 <= header.offset <= _MOST_BYTES:
        raise Unreadable(f"it says that the content begins at byte {header.offset}")
    for start, length in header.spans:
        if start < 0 or length < 0 or start + length > header.offset:
            raise Unreadable(f"a part of it lies behind its end, at byte {start}")
    return header


def _unlike(what: str, found: object, made: object) -> list[str]:
    return [] if found == made else [f"its {what} is {found!s:.60}, not {made}"]


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("ascii", "backslashreplace")
