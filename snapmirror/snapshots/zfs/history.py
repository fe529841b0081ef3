"""The ZFS store: the slot is a dataset, changed in place; sealing it is `zfs snapshot`.

See `layout` for the places, `sealing` for the mark of a published snapshot, `slot` for a night.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snapmirror.snapshots.history import READ_BACK
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.zfs import sealing
from snapmirror.snapshots.zfs.dataset import Dataset
from snapmirror.snapshots.zfs.slot import ZfsSlot
from snapmirror.storage import pool
from snapmirror.tools import zfs


class ZfsHistory:
    """The history of one mirror in the store's dataset `base`, mounted at `path`. See `history.History`."""

    healing = None  # snapshots of ZFS cannot be written
    purging = None
    unfinished = False  # a snapshot exists or not

    def __init__(self, base: str, path: Path, mirror: str) -> None:
        self._dataset = Dataset(base, path, mirror)
        self.layout = self._dataset.layout

    def snapshots(self) -> list[Snapshot]:
        """The published snapshots, newest first."""
        return list(self._dataset.snapshots)

    def next_sequence(self) -> int:
        """The number of the snapshot that would be published next."""
        return max((one.sequence for one in self._dataset.snapshots), default=0) + 1

    def tree(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot, which the kernel mounts at the first access."""
        return self.layout.tree(snapshot.id)

    def mounted(self, snapshot: Snapshot) -> Path:
        """The tree of a snapshot, mounted by us."""
        return self._dataset.mounted(snapshot)

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

    def recover(self) -> list[str]:
        """Make what is missing, and remove what belongs to no snapshot."""
        dataset = self._dataset
        self.layout.make()
        pool.add_mirror(dataset.base, dataset.path, dataset.mirror)
        self.layout.slot.mkdir(mode=0o700, exist_ok=True)
        self.layout.names.unlink(missing_ok=True)
        known = {one.id for one in dataset.snapshots}
        for path in self.layout.manifests.iterdir():
            if path.name.removesuffix(".zst") not in known:
                path.unlink()
        dataset.date()
        return []

    def slot(self) -> ZfsSlot:
        """The slot of one night."""
        return ZfsSlot(self._dataset)

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Destroy snapshots. Raises StorageError for one with a foreign hold or a clone."""
        for snapshot in snapshots:
            self._dataset.destroy(snapshot)
        self._dataset.load()
        self._dataset.date()

    def set_pinned(self, snapshot: Snapshot, pinned: bool) -> Snapshot:
        """Pin a snapshot by a hold, or unpin it."""
        if pinned != snapshot.pinned:
            (zfs.hold if pinned else zfs.release)(self._dataset.name, snapshot.id, sealing.HOLD)
        self._dataset.load()
        return next(one for one in self._dataset.snapshots if one.id == snapshot.id)
