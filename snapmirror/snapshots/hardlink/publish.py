"""Publishing a slot of the hard link store: what is written, in which order, and when it is on the device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from snapmirror import files, interrupts
from snapmirror.snapshots import checksums, manifest, packed, record
from snapmirror.snapshots.hardlink import changes, rotation
from snapmirror.snapshots.hardlink.layout import Layout
from snapmirror.snapshots.hardlink.ledger import Ledger
from snapmirror.snapshots.hardlink.scratch import names_in
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.retention import Decision
from snapmirror.snapshots.slot import Published, Sealed
from snapmirror.tools import filesystems

_OWN_MANIFEST = 16  # nights
_NIGHTS = 100  # what was noted of older ones is of no use to a slot that differs in so much


def publish(ledger: Ledger, sealed: Sealed, expiring: Sequence[Decision]) -> Published:
    """Write down, flush, rename, and let the expired go.

    A flush is dear on a slow store, above all right after a big one, when the file system brings what is in its
    journal to its place. So all that has to be on the device goes there at once, the records of before and after
    the renames among it; the next flush is the moment at which the snapshot exists, and there is no third.
    """
    layout, before = ledger.layout, ledger.record
    manifest.store(layout.manifest(sealed.snapshot.id), sealed.manifest, like(layout, before.newest, sealed.snapshot))
    files.write(layout.checksums(sealed.snapshot.sequence), packed.pack(sealed.checksums))
    changes.write(layout, before.newest, sealed)
    expired = [decision.snapshot for decision in expiring]
    kept = [sealed.snapshot, *(one for one in before.snapshots if one not in expired)]
    park = bool(expired) and not layout.parked.exists()
    moved = before.model_copy(
        update={
            "snapshots": [one.model_copy(update={"slot": number}) for number, one in enumerate(kept, start=1)],
            "sequence": sealed.snapshot.sequence,
            "parked": expired[0].id if park else before.parked,
            "slot_equals": None,
        }
    )
    moving = moved.model_copy(update={"moves": rotation.moves(layout, kept, expired, park=park)})
    first, then = record.stage(moving, layout.record), record.stage(moved, layout.record, ".moved")
    filesystems.flush(layout.root)
    with interrupts.deferred():  # a signal leaves no gap in the numbers; a crash may, until the next run
        record.put(first, layout.record)
        filesystems.sync(layout.private)  # the moment at which the snapshot exists
        ledger.record = moving
        ledger.make_moves()
        record.put(then, layout.record)
    if park:
        _drop_notes(layout, max(expired[0].sequence, moved.sequence - _NIGHTS))
    ledger.remove(expired)
    for path in names_in(layout.partial):
        os.unlink(path)
    _drop_checksums(ledger)
    return Published(ledger.record.snapshots[0], list(expiring))


def like(layout: Layout, newest: Snapshot | None, snapshot: Snapshot) -> Path | None:
    """The manifest that a new one may share blocks with. Now and then none, so that one that goes bad is not one of
    all manifests, and a manifest's pieces do not come to lie ever further from each other.
    """
    if newest is None or snapshot.full or snapshot.sequence % _OWN_MANIFEST == 0:
        return None
    return layout.manifest(newest.id)


def _drop_notes(layout: Layout, last: int) -> None:
    """Drop what was noted of the nights up to this one: no slot is older than it."""
    for folder in ("hints", "changes"):
        for file in (layout.private / folder).glob("*.zst"):
            if file.stem.isdecimal() and int(file.stem) <= last:
                file.unlink()


def _drop_checksums(ledger: Ledger) -> None:
    """Drop checksum files that no manifest refers to; looked at only when their number has doubled."""
    sums = ledger.layout.private / "sums"
    if len(list(sums.glob("*.zst"))) < 2 * max(ledger.record.checksum_files_kept, 8):
        return
    if (kept := checksums.drop_unused(sums, ledger.layout.private / "manifests")) is not None:
        ledger.record.checksum_files_kept = kept
        ledger.save()
