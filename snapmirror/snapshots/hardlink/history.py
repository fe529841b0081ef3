"""The hard link store: `backup.1` … `backup.N`, plain folders that share unchanged files.

See `slot` for how the next one is made, `staging` for why no sealed inode is ever changed, `rotation` for the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snapmirror import interrupts
from snapmirror.snapshots import names
from snapmirror.snapshots.hardlink import rotation
from snapmirror.snapshots.hardlink.healing import HardlinkHealing
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.hardlink.ledger import Ledger
from snapmirror.snapshots.hardlink.purging import HardlinkPurging
from snapmirror.snapshots.hardlink.scratch import save_interrupted
from snapmirror.snapshots.hardlink.shortcuts import FromNotes, NoShortcuts, Shortcuts
from snapmirror.snapshots.hardlink.slot import HardlinkSlot
from snapmirror.snapshots.history import READ_BACK
from snapmirror.snapshots.record import Snapshot


class HardlinkHistory:
    """The history of one mirror in `root`, a folder of the store. See `history.History`.

    `shortcuts`: nights may use them; the result is the same without.
    """

    def __init__(self, root: Path, *, shortcuts: bool = True) -> None:
        self.layout = HardlinkLayout(root)
        self._ledger = Ledger(self.layout)
        self.healing = HardlinkHealing(self._ledger)
        self.purging = HardlinkPurging(self._ledger)
        self._shortcuts: Shortcuts = FromNotes(self.layout) if shortcuts else NoShortcuts(self.layout)

    def snapshots(self) -> list[Snapshot]:
        """The published snapshots, newest first."""
        return list(self._ledger.record.snapshots)

    def next_sequence(self) -> int:
        """The number of the snapshot that would be published next."""
        return self._ledger.record.sequence + 1

    def tree(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot."""
        return self._ledger.tree(snapshot)

    def mounted(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot."""
        return self.tree(snapshot)

    def dated(self, snapshot: Snapshot) -> Path:
        """The dated name of that folder."""
        return self.layout.by_date / snapshot.id

    def manifest(self, snapshot: Snapshot) -> Path:
        """The manifest of a snapshot."""
        return self.layout.manifest(snapshot.id)

    def checksums(self, sequence: int) -> Path:
        """The checksum file of the snapshot with this number."""
        return self.layout.checksums(sequence)

    def read_back(self) -> Path:
        """The file with the progress of reading the contents back."""
        return self.layout.private / READ_BACK

    @property
    def unfinished(self) -> bool:
        """Whether a rotation or a purge was interrupted."""
        return bool(self._ledger.record.moves) or self.layout.purging.exists()

    def recover(self) -> list[str]:
        """Finish an interrupted rotation, and remove leftovers."""
        done, record = [], self._ledger.record
        self.layout.make()
        if self.healing.finish():
            done.append("completed the healing of a file that the last run had begun")
        if record.moves:
            self._ledger.make_moves()
            self._ledger.save()
            done.append("finished the rotation that the last run began")
        if self.purging.finish():
            done.append("took the names out of all snapshots that were being purged")
        for path in self.layout.private.glob(f"{rotation.TRASH}*"):
            names.remove_tree(path)
            done.append("removed an expired snapshot that the last run left")
        self.layout.names.unlink(missing_ok=True)
        record = self._ledger.record
        known = {*(snapshot.id for snapshot in record.snapshots), record.parked}
        for path in (self.layout.private / "manifests").iterdir():
            if path.name.removesuffix(".zst") not in known:
                path.unlink()
        if save_interrupted(self.layout):
            done.append("kept what the last run had received of its last file")
        if self.layout.slot.exists() and record.slot_equals is None:
            done.append("the last run did not finish; this one goes on from there")
        return done

    def slot(self) -> HardlinkSlot:
        """The slot of one night."""
        return HardlinkSlot(self._ledger, self._shortcuts)

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Remove these snapshots, as if they had expired; the others get new numbers."""
        record = self._ledger.record
        gone = {one.id for one in snapshots}
        kept = [one for one in record.snapshots if one.id not in gone]
        expired = [one for one in record.snapshots if one.id in gone]
        record.moves = rotation.moves(self.layout, kept, expired, park=False)
        record.snapshots = rotation.numbered(kept)
        with interrupts.deferred():
            self._ledger.save()
            self._ledger.make_moves()
            self._ledger.save()
        self._ledger.remove(expired)

    def set_pinned(self, snapshot: Snapshot, pinned: bool) -> Snapshot:
        """Pin or unpin a snapshot."""
        changed, record = snapshot.model_copy(update={"pinned": pinned}), self._ledger.record
        record.snapshots = [changed if one.id == snapshot.id else one for one in record.snapshots]
        self._ledger.save()
        return changed
