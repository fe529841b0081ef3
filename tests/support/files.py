"""Files of a source with known contents and times, and bits of a snapshot that flip."""

from __future__ import annotations

import os
from pathlib import Path

OLD = 1_600_000_000
FRACTION_NS = 123_456_789  # what is lost where somewhere only seconds are kept


def put(path: Path, data: bytes, when: int = OLD) -> None:
    """Write a file, and the folders that it needs; `when`, in seconds, and a fraction is its time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(when * 10**9 + FRACTION_NS,) * 2)


def flip(path: Path) -> None:
    """One bit, as a disk does it: nothing else tells."""
    status = path.stat()
    with open(path, "r+b") as file:
        file.seek(status.st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 16]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
