"""Manifests: the content of a snapshot, one line per entry, in a file that `zstdcat` reads.

    {"format": "snapmirror manifest", "version": 2, "id": "2026-11-20T030000Z", "sequence": 12, "entries": 200000, ...}
    #199998 1
    #2 12
    @260 5712 0 58a3b1c4 9f86d081884c7d659a2feaa0c55ad015
    ...
    cd+++++++++|rwxr-xr-x|0|0|4096|2026/11/19-21:04:11|//./
    >f+++++++++|rw-r--r--|0|0|5120|2024/02/01-03:00:00|//etc/fstab
    ...

After the first line come the numbers: so many consecutive entries have had their inodes since the snapshot of that
number. Then the entries (see `entry`), in rsync's order (`entry.path_key`); the further names of hard link groups are
after all others, in the same order. Two snapshots of one store share the inode of a name exactly if line and number are
the same in both: recycling a slot relies on that.

The entries of a big tree are in pieces (see `pieces`), each a zstd frame of its own; that is version 2, as above. The
index of the pieces is before the entries: the number of entries of a piece, its length in bytes, the gap before it, its
CRC-32, and the BLAKE2b of its text. The first line tells at which byte (`body`) the first piece, or its gap, begins.

In memory a numbered line is the entry's line after its number (see `lines`). The number of entries in the first line
shows whether the file is complete; zstd checksums cover its contents.
"""

from snapmirror.snapshots.manifest.correction import rewritten
from snapmirror.snapshots.manifest.pieces import Piece, cut, in_memory
from snapmirror.snapshots.manifest.reader import Reader
from snapmirror.snapshots.manifest.storing import store
from snapmirror.snapshots.manifest.text import (
    LONGEST_LINE,
    MOST_WINDOW,
    NOTHING,
    DamagedManifest,
    Header,
    Lines,
    Totals,
    taken_apart,
)
from snapmirror.snapshots.manifest.writer import Former, Writer

__all__ = [
    "LONGEST_LINE",
    "MOST_WINDOW",
    "NOTHING",
    "DamagedManifest",
    "Former",
    "Header",
    "Lines",
    "Piece",
    "Reader",
    "Totals",
    "Writer",
    "cut",
    "in_memory",
    "rewritten",
    "store",
    "taken_apart",
]
