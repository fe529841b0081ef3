"""Checksums of file contents, taken at sealing: one file for each snapshot, of the files whose inodes are new in it.

    d41d8cd98f00b204e9800998ecf8427e etc/empty
    ...

MD5, as rsync has computed it on both sides while the file travelled (so no file is read again for it), and as md5sum
does. It is there to find damage, not to stop forgery. Names are written as in manifests; the file is a zstd stream. A
manifest's number before an entry tells in which file its checksum stands.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import zstandard

from snapmirror.errors import DamageError, shortage
from snapmirror.snapshots.entry import unescape
from snapmirror.snapshots.manifest import LONGEST_LINE, MOST_WINDOW, DamagedManifest, Reader
from snapmirror.snapshots.spool import Spool

_BLOCK = 256  # bytes of a packed file that are unpacked at once: 8 MB at most
_LINES = 4096


def of_file(path: bytes | Path) -> bytes:
    """The checksum of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest().encode()


def pack(checksums: Spool) -> bytes:
    """The bytes of a checksum file, of pairs of checksum and escaped name."""
    lines: list[bytes] = []
    size = sum(len(checksum or b"") + len(name or b"") + 2 for checksum, name in checksums)
    packed = io.BytesIO()
    with zstandard.ZstdCompressor(level=1, write_checksum=True).stream_writer(packed, size=size, closefd=False) as file:
        for checksum, name in checksums:
            lines.append(b"%s %s\n" % (checksum, name))
            if len(lines) >= _LINES:
                file.write(b"".join(lines))
                lines.clear()
        file.write(b"".join(lines))
    return packed.getvalue()


def drop_unused(sums: Path, manifests: Path) -> int | None:
    """Drop the checksum files in `sums` that no manifest refers to; return how many stay, or None if nothing is sure.

    Nothing is dropped that a damaged manifest may still need.
    """
    used: set[int] = set()
    try:
        for path in manifests.glob("*.zst"):
            used.update(Reader(path).used_numbers())
    except DamagedManifest:
        return None
    files = sorted(sums.glob("*.zst"))
    for path in files:
        if int(path.stem) not in used:
            path.unlink()
    return sum(int(path.stem) in used for path in files)


def read(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """(path, checksum) of a checksum file; nothing if it is absent. Raises DamageError."""
    try:
        with open(path, "rb") as file:
            stream, rest = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW).decompressobj(), b""
            while packed := file.read(_BLOCK):
                *lines, rest = (rest + stream.decompress(packed)).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    raise DamageError(f"the checksum file {path} has a line without an end")
                for line in lines:
                    checksum, _, name = line.partition(b" ")
                    if not name:
                        raise DamageError(f"the checksum file {path} is damaged: a line without a name")
                    yield unescape(name), checksum
    except FileNotFoundError:
        return
    except (zstandard.ZstdError, OSError) as error:
        raise shortage(error) or DamageError(f"the checksum file {path} is damaged: {error}") from error
    if not stream.eof:
        raise DamageError(f"the checksum file {path} is cut")
