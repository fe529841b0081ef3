"""Checksums of file contents, taken at sealing: one file for each snapshot, of the files whose inodes are new in it.

    d41d8cd98f00b204e9800998ecf8427e etc/empty
    ...

MD5, as rsync has computed it on both sides during the transfer (so no file is read again for it), and as md5sum prints
it. It serves to find damage, not to stop forgery. Names are written as in manifests; the file is a zstd stream. The
number before a manifest's entry tells which file holds its checksum.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from snapmirror.snapshots import packed
from snapmirror.snapshots.entry import unescape
from snapmirror.snapshots.manifest import DamagedManifest, Reader
from snapmirror.snapshots.names import Tree


def of_file(path: bytes | Path) -> bytes:
    """The checksum of a file, in hexadecimal digits."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest().encode()


def in_tree(tree: Path, path: bytes) -> bytes | None:
    """The checksum of a file in a tree; None if there is none."""
    here = Tree(tree)
    return of_file(here.at(path)) if here.is_file(path) else None


def drop_unused(sums: Path, manifests: Path) -> int | None:
    """Drop the checksum files in `sums` that no manifest refers to; return how many stay, or None if that is unknown.

    Nothing is dropped that a damaged manifest may still need.
    """
    used: set[int] = set()
    try:
        for path in manifests.glob("*.zst"):
            used.update(Reader(path).used_numbers())
    except DamagedManifest:
        return None
    files = sorted(path for path in sums.glob("*.zst") if path.stem.isdecimal())
    for path in files:
        if int(path.stem) not in used:
            path.unlink()
    return sum(int(path.stem) in used for path in files)


def read(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """(path, checksum) of a checksum file; nothing if it is absent. Raises DamageError."""
    for checksum, name in packed.read(path, "checksum file"):
        yield unescape(name), checksum
