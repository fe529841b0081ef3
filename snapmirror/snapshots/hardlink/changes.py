"""What each night has changed: one file for each snapshot, the difference between its manifest and the one before.

    changes.1 2026-11-19T030000Z 2026-11-20T030000Z
    -0000011 >f+++++++++|rw-r--r--|0|0|5120|2026/11/19-02:00:00|//etc/fstab
    +0000012 >f+++++++++|rw-r--r--|0|0|5210|2026/11/20-02:00:00|//etc/fstab

The nights between two snapshots add up to what differs between these, at the price of what has changed. Two manifests
tell the same at the price of all that exists: they are compared where the chain of nights is broken, or bigger.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from snapmirror.errors import DamageError
from snapmirror.snapshots import packed
from snapmirror.snapshots.entry import path_key, path_of
from snapmirror.snapshots.hardlink.layout import Layout
from snapmirror.snapshots.manifest import PREFIX, DamagedManifest, Reader
from snapmirror.snapshots.merge import OutOfOrder, Pair, differences, link_differences
from snapmirror.snapshots.plan import MOST_CHANGES
from snapmirror.snapshots.protocol import Sealed
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.spool import Spool

_FORMAT = b"changes.1"
_LITTLE = 1 << 16  # bytes; in a small tree all of this costs next to nothing
_Name = tuple[bytes, bool]  # a path, and whether it is a folder's: a file in a folder's place is another name


def write(layout: Layout, before: Snapshot | None, sealed: Sealed) -> None:
    """Write down what a new snapshot has changed since the one before, if that is little enough to be of use."""
    file = layout.changes(sealed.snapshot.sequence)
    file.unlink(missing_ok=True)  # that of a night that has failed
    if before is None or sum(sealed.snapshot.counts.values()) > MOST_CHANGES:
        return
    pairs = sealed.differing
    if pairs is None:
        try:
            pairs = Spool(compared(layout.manifest(before.id), sealed.manifest))
        except (DamagedManifest, OutOfOrder):
            return
    if len(pairs) <= MOST_CHANGES:
        lines = Spool([(_FORMAT, f"{before.id} {sealed.snapshot.id}".encode())])
        for sign, side in ((b"-", 0), (b"+", 1)):
            lines.extend((sign + line[: PREFIX - 1], line[PREFIX:]) for pair in pairs if (line := pair[side]))
        file.write_bytes(packed.pack(lines))


def compared(old: Path, new: Path | bytes) -> list[Pair]:
    """What differs between two snapshots by their manifests. Raises DamagedManifest, OutOfOrder."""
    with closing(Reader(old)) as before, closing(Reader(new)) as after:
        pairs = list(differences(before, after.plain(), numbers=after.numbers))
        return pairs + list(link_differences(before.links, after.links))


def between(layout: Layout, old: str, new: Snapshot) -> list[Pair] | None:
    """What differs between the snapshot of the id `old` and a later one, by the nights between them; folders before
    what lies in them. None where these do not tell, or are more to read than the old one's manifest.
    """
    try:
        room = layout.manifest(old).stat().st_size + _LITTLE
        chain, wanted, number = [], new.id, new.sequence
        while wanted != old:
            file = layout.changes(number)
            room -= file.stat().st_size
            if room < 0:
                return None
            lines = list(packed.read(file, "list of changes"))
            before, after = lines.pop(0)[1].decode().split(" ")
            if after != wanted:
                return None
            chain.append(lines)
            wanted, number = before, number - 1
    except (OSError, DamageError, ValueError, IndexError):
        return None
    first: dict[_Name, bytes | None] = {}
    last: dict[_Name, bytes | None] = {}
    for lines in reversed(chain):
        for word, line in lines:  # what is gone stands before what is new
            name = path_of(line), line[1:2] == b"d"
            numbered = word[1:] + b" " + line
            first.setdefault(name, numbered if word[:1] == b"-" else None)
            last[name] = numbered if word[:1] == b"+" else None
    pairs = [(before, last[name]) for name, before in first.items() if before != last[name]]
    return sorted(pairs, key=_place)


def _place(pair: Pair) -> bytes:
    line = pair[0] if pair[0] is not None else pair[1]
    assert line is not None
    return path_key(line[PREFIX:])
