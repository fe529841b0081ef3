"""Publishes a slot of the hard link store: what is written, in which order, and when it is on the device."""

from __future__ import annotations

import os
from collections.abc import Sequence

from snapmirror import files, interrupts
from snapmirror.snapshots import checksums, packed, record
from snapmirror.snapshots.hardlink import rotation
from snapmirror.snapshots.hardlink.ledger import Ledger
from snapmirror.snapshots.hardlink.scratch import names_in
from snapmirror.snapshots.hardlink.shortcuts import Shortcuts
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.retention import Decision
from snapmirror.snapshots.slot import Published, Sealed
from snapmirror.tools import filesystems


def publish(
    ledger: Ledger, shortcuts: Shortcuts, sealed: Sealed, plan: Plan | None, expiring: Sequence[Decision]
) -> Published:
    """Write the notes, flush, rename, and remove expired snapshots. The slot was filled by `plan`.

    A flush is expensive on a slow store, above all right after a big one, when the file system writes back its journal.
    So everything that has to be on the device is flushed at once, including the records before and after the renames;
    the next flush is the moment at which the snapshot exists, and there is no third.
    """
    layout, before = ledger.layout, ledger.record
    shortcuts.store(before.newest, sealed, plan)
    files.write(layout.checksums(sealed.snapshot.sequence), packed.pack(sealed.checksums))
    expired = [decision.snapshot for decision in expiring]
    kept = [sealed.snapshot, *(one for one in before.snapshots if one not in expired)]
    park = bool(expired) and not layout.parked.exists()
    moved = before.model_copy(
        update={
            "snapshots": rotation.numbered(kept),
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
        shortcuts.drop(expired[0].sequence, moved.sequence)
    ledger.remove(expired)
    for path in names_in(layout.partial):
        os.unlink(path)
    _drop_checksums(ledger)
    return Published(ledger.record.snapshots[0], list(expiring))


def _drop_checksums(ledger: Ledger) -> None:
    """Drop checksum files that no manifest refers to; searched only when their number has doubled."""
    sums = ledger.layout.private / "sums"
    if len(list(sums.glob("*.zst"))) < 2 * max(ledger.record.checksum_files_kept, 8):
        return
    if (kept := checksums.drop_unused(sums, ledger.layout.private / "manifests")) is not None:
        ledger.record.checksum_files_kept = kept
        ledger.save()
