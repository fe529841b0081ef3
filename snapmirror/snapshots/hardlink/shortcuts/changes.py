"""The changes of each night: one file for each snapshot, the difference between its manifest and the one before.

    changes.1 2026-11-19T030000Z 2026-11-20T030000Z
    - etc/fstab
    - etc/gone/
    +0000012 >f+++++++++|rw-r--r--|0|0|5210|2026/11/20-02:00:00|//etc/fstab

First the names that were removed, or have another inode; then those that are new, or have another inode, as numbered
lines. A folder's name ends with a slash: if a folder replaces a file, it is another name.

The nights between two snapshots add up to the difference of these, at the cost of the changed entries. Two manifests
give the same at the cost of all entries: they are compared if the chain of nights is broken, or bigger.
"""

from __future__ import annotations

from snapmirror import files
from snapmirror.errors import DamageError
from snapmirror.snapshots import packed
from snapmirror.snapshots.compare import MOST_CHANGES
from snapmirror.snapshots.entry import path_key
from snapmirror.snapshots.hardlink.differing import Differing, compared, differing_in
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.lines import Line, Numbered, name_of, number_of, unnumbered
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.slot import Sealed
from snapmirror.snapshots.spool import Spool

_FORMAT, _GONE = b"changes.1", b"-"
_LITTLE = 1 << 16  # bytes; in a small tree all of this costs almost nothing


def write(layout: HardlinkLayout, before: Snapshot | None, sealed: Sealed, plan: Plan | None = None) -> None:
    """Write the changes of a new snapshot since the one before, if they are few enough to be of use.

    The `plan` knows them, if the manifest is as planned; otherwise the two manifests are compared.
    """
    file = layout.changes(sealed.snapshot.sequence)
    file.unlink(missing_ok=True)  # the file of a failed night
    if before is None or sum(sealed.snapshot.counts.values()) > MOST_CHANGES:
        return
    pairs = plan.differing if plan is not None and plan.manifest is sealed.manifest else None
    differing = compared(layout.manifest(before.id), sealed.manifest) if pairs is None else differing_in(pairs)
    if differing is not None and len(differing.gone) + len(differing.new) <= 2 * MOST_CHANGES:
        lines = Spool[bytes, bytes]([(_FORMAT, f"{before.id} {sealed.snapshot.id}".encode())])
        lines.extend((_GONE, name) for name in differing.gone)
        lines.extend((b"+%07d" % number_of(line), unnumbered(line)) for line in differing.new)
        files.write(file, packed.pack(lines))


def between(layout: HardlinkLayout, old: str, new: Snapshot) -> Differing | None:
    """The difference of the snapshot with the id `old` and a later one, from the nights between them. None if these are
    not noted, or are more to read than the old one's manifest.
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
            form, ids = lines.pop(0)
            before, after = ids.decode().split(" ")
            if form != _FORMAT or after != wanted:
                return None
            chain.append(lines)
            wanted, number = before, number - 1
    except (OSError, DamageError, ValueError, IndexError):
        return None
    first: dict[bytes, bool] = {}  # whether the old snapshot had the name
    last: dict[bytes, Numbered | None] = {}
    for lines in reversed(chain):
        for word, rest in lines:
            if word == _GONE:
                first.setdefault(rest, True)
                last[rest] = None
            elif word[:1] != b"+":
                return None
            else:
                name = name_of(Line(rest))
                first.setdefault(name, False)
                last[name] = Numbered(word[1:] + b" " + rest)
    there = (line for line in last.values() if line is not None)
    return Differing(
        gone=sorted(name for name, had in first.items() if had),
        new=sorted(there, key=lambda line: path_key(unnumbered(line))),
    )
