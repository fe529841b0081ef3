"""The slot of one night in the ZFS store: the dataset itself, changed in place.

See `survey` and `stage` for how it is repaired after a failed night. Such a night is not rolled back: its transferred
files would be lost, and a first night of many hours would never be completed.

The order of sealing: the manifest is written, then the snapshot is taken, which waits until all earlier writes to the
pool are on the devices. A crash between the two leaves a manifest without a snapshot, which the next run removes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from snapmirror import files, interrupts
from snapmirror.snapshots import checksums, folder_attributes, packed
from snapmirror.snapshots.names import Tree, remove_tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.preparing import preparing
from snapmirror.snapshots.retention import Decision
from snapmirror.snapshots.slot import Preparing, Published, Sealed, Target
from snapmirror.snapshots.staging import KEPT, Arrived, move, place
from snapmirror.snapshots.zfs import sealing
from snapmirror.snapshots.zfs.dataset import Dataset
from snapmirror.snapshots.zfs.stage import put_back, stage, unstage
from snapmirror.snapshots.zfs.survey import Survey, survey
from snapmirror.tools import filesystems, zfs, zpool

log = logging.getLogger("snapmirror.store")

_TIDY_EVERY = 16  # nights between two searches for unneeded checksums, each of which reads all manifests


class ZfsSlot:
    """The slot of a mirror in this dataset. See `slot.Slot`."""

    # Only the next transfer shows what it need not fetch again; the next night with enough room repairs what a failed
    # one has written, nothing is discarded. ZFS itself knows whether the slot differs from the newest snapshot, and
    # stores a file's content no later than its size and time.
    resuming = None

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self._layout = dataset, dataset.layout
        self._survey = Survey()

    @property
    def tree(self) -> Path:
        """The tree that is being made."""
        return self._layout.slot

    @contextmanager
    def preparing(self) -> Iterator[Preparing]:
        """Finds, in a thread, the differences from the newest snapshot; there are none after a good night."""
        with preparing(self._prepare) as result:

            def wait() -> bool:
                self._survey = result()
                return True

            yield wait

    def _prepare(self, stop: Event) -> Survey:
        dataset, layout = self._dataset, self._layout
        newest = dataset.newest
        if newest is not None:
            zpool.sync(dataset.name.partition("/")[0])  # ZFS counts writes only when they are on the devices
            if not zfs.written_since(dataset.name, newest.id):
                layout.began.unlink(missing_ok=True)
                return Survey()
        if layout.staging.exists():
            unstage(layout.staging, layout.slot, self._began() or 0)
        found = survey(dataset.mounted(newest) if newest else None, layout.slot, stop)
        if not found.is_clean:
            log.info("%s: the last run did not finish; this one goes on from there", dataset.mirror)
        return found

    def stage(self, plan: Plan, clone_above: int | None) -> Target:
        """Move files that can be updated in place into the staging folder, and repair what a failed night has left."""
        newest, layout = self._dataset.newest, self._layout
        tree = self._dataset.mounted(newest) if newest else None
        ready = stage(plan, self._survey, tree, layout.slot, layout.staging, self._begin())
        return Target(
            layout.staging, tree, layout.scratch, layout.scratch, layout.names, frozenset(ready), in_place=True
        )  # fmt: skip

    def fill(
        self, plan: Plan, arrived: Sequence[Arrived], gone: Collection[bytes], kept: Sequence[bytes]
    ) -> frozenset[bytes]:
        """Apply the plan to the slot. Kept names may have been changed in part: they are restored from the snapshot.

        No unchanged name gets an inode of its own: the slot is changed in place.
        """
        layout, newest = self._layout, self._dataset.newest
        if kept and newest is not None:
            here, there = Tree(layout.slot), Tree(layout.staging / KEPT)
            for path in kept:
                move(there, here, path)
            put_back(kept, self._dataset.mounted(newest), layout.slot)
        place(plan, arrived, layout.slot, gone)
        remove_tree(layout.staging)
        if newest is not None:
            folder_attributes.restore(plan, self._survey.touched, self._dataset.mounted(newest), layout.slot)
        return frozenset()

    def _began(self) -> int | None:
        try:
            return int(files.read(self._layout.began))
        except (FileNotFoundError, ValueError):
            return None

    def _begin(self) -> int:
        """When the slot began to differ from the newest snapshot, in ns: now, or in an earlier failed night."""
        if (before := self._began()) is not None:
            return before
        if not self._survey.is_clean:
            return 0  # unknown
        began = time.time_ns()
        filesystems.write(self._layout.began, b"%d" % began)
        return began

    def is_shared(self, path: bytes) -> bool:
        """Whether a file is still the one in the newest snapshot."""
        newest = self._dataset.newest
        assert newest is not None
        inode = Tree(self._layout.slot).inode(path)
        return inode is not None and inode == Tree(self._dataset.mounted(newest)).inode(path)

    def publish(self, sealed: Sealed, expiring: Sequence[Decision]) -> Published:
        """Write the notes, seal, and destroy expired snapshots."""
        dataset, layout, snapshot = self._dataset, self._layout, sealed.snapshot
        files.write(layout.manifest(snapshot.id), sealed.manifest)
        files.write(layout.checksums(snapshot.sequence), packed.pack(sealed.checksums))
        with interrupts.deferred():
            zfs.snapshot(dataset.name, snapshot.id, sealing.written(snapshot))  # from this moment on it exists
            layout.began.unlink(missing_ok=True)
            dataset.load()
            self._survey = Survey()
            dataset.date()
        expired = [decision for decision in expiring if dataset.expire(decision.snapshot)]
        if expired:
            dataset.load()
            dataset.date()
        if snapshot.sequence % _TIDY_EVERY == 0:
            checksums.drop_unused(layout.sums, layout.manifests)
        return Published(dataset.snapshots[0], expired)
