"""The dataset of a mirror and our snapshots in it, as last read from ZFS; shared by its history and a slot."""

from __future__ import annotations

import logging
from pathlib import Path

from snapmirror.errors import StorageError
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.zfs import sealing
from snapmirror.snapshots.zfs.layout import ZfsLayout
from snapmirror.storage import pool
from snapmirror.tools import zfs

log = logging.getLogger("snapmirror.store")


class Dataset:
    """The dataset of `mirror` below the store's dataset `base`, which is mounted at `path`."""

    def __init__(self, base: str, path: Path, mirror: str) -> None:
        self.base, self.path, self.mirror = base, path, mirror
        self.name = f"{base}/{mirror}"
        self.layout = ZfsLayout(path / mirror)
        self.layout.check()
        self.snapshots = self._asked()
        """The published snapshots, newest first."""

    @property
    def newest(self) -> Snapshot | None:
        """The newest snapshot, or None."""
        return self.snapshots[0] if self.snapshots else None

    def load(self) -> None:
        """Read the list of snapshots from ZFS again."""
        self.snapshots = self._asked()

    def _asked(self) -> list[Snapshot]:
        if not zfs.exists(self.name):
            return []
        facts = zfs.snapshots(self.name, sealing.PROPERTY)
        held = zfs.held(self.name, [one.name for one in facts if one.holds and one.note is not None], sealing.HOLD)
        ours = [found for one in facts if (found := sealing.read(one, 0, pinned=one.name in held)) is not None]
        ours.sort(key=lambda one: one.id, reverse=True)
        return [one.model_copy(update={"slot": number}) for number, one in enumerate(ours, start=1)]

    def mounted(self, snapshot: Snapshot) -> Path:
        """The tree of a snapshot, mounted by us: the kernel would use no options, and not every machine allows it."""
        tree = self.layout.tree(snapshot.id)
        zfs.mount_snapshot(self.name, snapshot.id, tree.parent, pool.OPTIONS)
        return tree

    def date(self) -> None:
        """Make the dated names agree with the snapshots."""
        known = {one.id for one in self.snapshots}
        for link in self.layout.by_date.iterdir():
            if link.name in known:
                known.discard(link.name)
            else:
                link.unlink()
        for name in known:
            target = Path("..", self.layout.tree(name).relative_to(self.layout.root))
            (self.layout.by_date / name).symlink_to(target)

    def destroy(self, snapshot: Snapshot) -> None:
        """Destroy a snapshot and its manifest. Raises StorageError for one with a foreign hold or a clone."""
        zfs.destroy_snapshot(self.name, snapshot.id)
        self.layout.manifest(snapshot.id).unlink(missing_ok=True)

    def expire(self, snapshot: Snapshot) -> bool:
        """Destroy an expired snapshot; one with a foreign hold or a clone stays until the next night."""
        try:
            self.destroy(snapshot)
        except StorageError as error:
            log.warning("%s: the expired snapshot stays: %s", self.mirror, error.message)
            return False
        return True
