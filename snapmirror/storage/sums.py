"""The checksums of a copy, kept beside it: those of its blocks when they were last read back. Runs no program.

`<copy>.sums` is a line of JSON, then the table of `blocks`, both in zstd. It is trusted only while the copy has the
size and the time recorded in it: a whole second that is set on purpose, so that any write to the copy changes it, and
no file system rounds it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import zstandard
from msgspec import Struct

from snapmirror import files
from snapmirror.storage.blocks import SUM_BYTES, Shape
from snapmirror.storage.update import write_file

_HEAD = {"format": "snapmirror copy sums", "version": 1}
_LONGEST_HEAD = 4096


class Sums(Struct, frozen=True):
    """A table, and the time when the whole copy was last read and compared with it (seconds since 1970)."""

    table: bytearray
    checked: float


def sums_file(copy: Path) -> Path:
    """The file of a copy's checksums."""
    return copy.with_name(f"{copy.name}.sums")


def save(copy: Path, target: Path, sums: Sums, image_id: str, shape: Shape) -> None:
    """Keep the checksums of `target`, which is the copy or is about to become it."""
    now = int(time.time())
    os.utime(target, (now, now), follow_symlinks=False)
    head = {
        **_HEAD, "image": image_id, "size": shape.size, "block": shape.block, "modified": now,
        "checked": sums.checked, "sha256": hashlib.sha256(sums.table).hexdigest(),
    }  # fmt: skip
    content = json.dumps(head).encode() + b"\n" + sums.table
    write_file(sums_file(copy), zstandard.ZstdCompressor(level=1).compress(content))


def load(copy: Path, image_id: str, shape: Shape) -> Sums | None:
    """The checksums, if they are undamaged and the copy was not changed since; else None."""
    try:
        most = _LONGEST_HEAD + SUM_BYTES * shape.blocks
        packed = files.read(sums_file(copy), 2 * most)
        if zstandard.frame_content_size(packed) > most:
            return None
        unpacked = zstandard.ZstdDecompressor().decompress(packed, max_output_size=most)
        head, _, table = unpacked.partition(b"\n")
        fields = json.loads(head)
        status = copy.lstat()
    except (OSError, files.ForeignError, ValueError, RecursionError, zstandard.ZstdError):
        return None
    expected = {
        **_HEAD, "image": image_id, "size": shape.size, "block": shape.block, "modified": status.st_mtime,
        "sha256": hashlib.sha256(table).hexdigest(),
    }  # fmt: skip
    checked = fields.pop("checked", None) if isinstance(fields, dict) else None
    if fields != expected or status.st_size != shape.size or not isinstance(checked, int | float):
        return None
    return Sums(bytearray(table), float(checked))
