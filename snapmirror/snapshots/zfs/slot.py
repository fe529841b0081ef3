"""The slot of one night in the ZFS store: the dataset itself, changed in place.

See `survey` and `stage` for how it is put right after a night that failed. Such a night is not rolled back: what it has
transferred would be lost with it, and a first night of many hours would never come to its end.

The order of sealing: the manifest is written, then the snapshot is taken, which waits until all that was written to the
pool before it is on the devices. A crash between the two leaves a manifest of nothing, which the next run removes.
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
from snapmirror.snapshots.retention import Decision
from snapmirror.snapshots.slot import Preparing, Published, Sealed, Target
from snapmirror.snapshots.staging import KEPT, Arrived, move, place
from snapmirror.snapshots.zfs import sealing
from snapmirror.snapshots.zfs.dataset import Dataset
from snapmirror.snapshots.zfs.stage import put_back, stage, unstage
from snapmirror.snapshots.zfs.survey import Survey, survey
from snapmirror.threads import one_worker
from snapmirror.tools import filesystems, zfs, zpool

log = logging.getLogger("snapmirror.store")

_TIDY_EVERY = 16  # nights between two looks at which checksums are still needed: each reads all manifests


class ZfsSlot:
    """The slot of a mirror in this dataset. See `slot.Slot`."""

    # Only the next transfer tells what it need not fetch again; what a failed night has written is put right by the
    # next one that has room, not given back. ZFS itself knows whether the slot differs from the newest snapshot, and
    # what it has of a file's size and time it has of its content.
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
        """Finds out, in a thread of its own, what differs from the newest snapshot; nothing does after a good night."""
        stop = Event()
        with one_worker("slot") as workers:
            try:
                with interrupts.deferred():  # a thread that is being started must not be lost
                    ready = workers.submit(self._prepare, stop)

                def wait() -> bool:
                    self._survey = ready.result()
                    return True

                yield wait
            finally:
                stop.set()

    def _prepare(self, stop: Event) -> Survey:
        dataset, layout = self._dataset, self._layout
        newest = dataset.newest
        if newest is not None:
            zpool.sync(dataset.name.partition("/")[0])  # what is written is counted when it is on the devices
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
        """Move what can be updated in place into the staging folder, and put right what a failed night has left."""
        newest, layout = self._dataset.newest, self._layout
        tree = self._dataset.mounted(newest) if newest else None
        ready = stage(plan, self._survey, tree, layout.slot, layout.staging, self._begin())
        return Target(
            layout.staging, tree, layout.scratch, layout.scratch, layout.names, frozenset(ready), in_place=True
        )  # fmt: skip

    def fill(
        self, plan: Plan, arrived: Sequence[Arrived], gone: Collection[bytes], kept: Sequence[bytes]
    ) -> frozenset[bytes]:
        """Apply the plan to the slot. What is kept may have changed in part: it gets back what the snapshot has.

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
        """When the slot began to differ from the newest snapshot, in ns: now, or in an earlier night that failed."""
        if (before := self._began()) is not None:
            return before
        if not self._survey.is_clean:
            return 0  # nobody knows
        began = time.time_ns()
        filesystems.write(self._layout.began, b"%d" % began)
        return began

    def is_shared(self, path: bytes) -> bool:
        """Whether a file is still the one that the newest snapshot holds."""
        newest = self._dataset.newest
        assert newest is not None
        inode = Tree(self._layout.slot).inode(path)
        return inode is not None and inode == Tree(self._dataset.mounted(newest)).inode(path)

    def publish(self, sealed: Sealed, expiring: Sequence[Decision]) -> Published:
        """Write down, seal, and let the expired go."""
        dataset, layout, snapshot = self._dataset, self._layout, sealed.snapshot
        files.write(layout.manifest(snapshot.id), sealed.manifest)
        files.write(layout.checksums(snapshot.sequence), packed.pack(sealed.checksums))
        with interrupts.deferred():
            zfs.snapshot(dataset.name, snapshot.id, sealing.written(snapshot))  # the moment at which it exists
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
