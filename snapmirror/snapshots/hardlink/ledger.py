"""The record of a mirror while a program has it open, shared by its history, the slot of a night and healing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snapmirror.errors import StorageError
from snapmirror.snapshots import names, record
from snapmirror.snapshots.hardlink import rotation
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.record import Snapshot


class Ledger:
    """The record and the places that it describes. `record` is changed in memory; `save` writes it.

    Raises StorageError for a damaged or missing record, ForeignError for a place that is not ours.
    """

    def __init__(self, layout: HardlinkLayout) -> None:
        self.layout = layout
        layout.check()
        if layout.backup(1).exists() and not layout.record.exists():
            raise StorageError(
                f"there are snapshots in {layout.root}, but the record {layout.record} is missing",
                hint=f"copy {layout.record}.previous back, its last version; the snapshots are plain folders",
            )
        self.record = record.load(layout.record)

    def save(self) -> None:
        """Replace the record on the device, durably."""
        record.save(self.record, self.layout.record)

    def tree(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot."""
        return self.layout.backup(snapshot.slot)

    @property
    def newest_tree(self) -> Path | None:
        """The folder of the newest snapshot, if there is one."""
        newest = self.record.newest
        return self.tree(newest) if newest is not None else None

    def make_moves(self) -> None:
        """Make the moves in the record, and remove them from it. The caller saves it."""
        rotation.make(self.layout, self.record.moves)
        rotation.date(self.layout, self.record.snapshots)
        self.record.moves = []

    def remove(self, expired: Sequence[Snapshot]) -> None:
        """Remove the folders of expired snapshots, which have been moved aside, and their manifests."""
        for snapshot in expired:
            names.remove_tree(self.layout.private / f"{rotation.TRASH}{snapshot.id}")
            if snapshot.id != self.record.parked:
                self.layout.manifest(snapshot.id).unlink(missing_ok=True)
