"""The slot of one night in the hard link store: a folder beside the snapshots, which becomes `backup.1`.

See `prepare` for how it is made equal to the newest snapshot, `stage` for the files with which rsync begins, `publish`
for how it becomes a snapshot.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from snapmirror.errors import StorageError
from snapmirror.snapshots import folder_attributes, names, staging
from snapmirror.snapshots.entry import BadLine
from snapmirror.snapshots.hardlink import prepare
from snapmirror.snapshots.hardlink.differing import compared
from snapmirror.snapshots.hardlink.discard import discard
from snapmirror.snapshots.hardlink.ledger import Ledger
from snapmirror.snapshots.hardlink.publish import publish
from snapmirror.snapshots.hardlink.scratch import names_in
from snapmirror.snapshots.hardlink.shortcuts import Shortcuts
from snapmirror.snapshots.hardlink.stage import stage
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.preparing import preparing
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.retention import Decision
from snapmirror.snapshots.slot import Preparing, Published, Sealed, SupportsResuming, Target
from snapmirror.snapshots.staging import Arrived
from snapmirror.tools import filesystems

log = logging.getLogger("snapmirror.store")


class HardlinkSlot:
    """The slot of a mirror with this record. See `slot.Slot`, and `slot.SupportsResuming`, which it is itself."""

    def __init__(self, ledger: Ledger, shortcuts: Shortcuts) -> None:
        self._ledger, self._layout, self._shortcuts = ledger, ledger.layout, shortcuts
        self._prepared = prepare.Prepared()
        self._is_copy = False  # the slot is known to be equal to the newest snapshot
        self._before: folder_attributes.Known = {}
        self._plan: Plan | None = None  # the plan with which it is filled

    @property
    def tree(self) -> Path:
        """The tree that is being made."""
        return self._layout.slot

    # --- making it equal to the newest snapshot

    @contextmanager
    def preparing(self) -> Iterator[Preparing]:
        """Prepares the slot in a thread of its own, while the source is being listed."""
        with preparing(self._prepare) as result:

            def wait() -> bool:
                self._prepared = result()
                self._is_copy = self._prepared == prepare.Prepared()
                return not self._prepared.lost

            yield wait

    def _prepare(self, stop: Event) -> prepare.Prepared:
        record, layout = self._ledger.record, self._layout
        newest = record.newest
        if newest is None:
            if layout.slot.exists():
                return prepare.repaired(None, layout.slot, stop)
            layout.slot.mkdir()
            return prepare.Prepared()
        tree = self._ledger.tree(newest)
        if not tree.is_dir():
            raise StorageError(f"the newest snapshot {tree} is missing", hint="was it moved by hand?")
        if layout.slot.exists():
            if record.slot_equals == newest.id:
                return prepare.Prepared()
            return prepare.repaired(tree, layout.slot, stop)
        if not layout.parked.exists():
            return prepare.copied(tree, layout.slot, stop)
        return self._recycle(newest, tree, stop)

    def _recycle(self, newest: Snapshot, tree: Path, stop: Event) -> prepare.Prepared:
        record, layout = self._ledger.record, self._layout
        parked = record.parked
        differing = None
        if parked is not None:
            differing = self._shortcuts.differing(parked, newest)
            differing = differing or compared(layout.manifest(parked), layout.manifest(newest.id))
        record.parked = None  # (not saved yet: the name of a missing folder does no harm)
        os.rename(layout.parked, layout.slot)
        # After half a minute without writes XFS writes back its whole journal at the first flush. Let it do so now,
        # while the journal is almost empty, and not at the end of the night, which would wait for it.
        filesystems.sync(layout.private)
        if parked is not None:
            layout.manifest(parked).unlink(missing_ok=True)
        if differing is None:
            return prepare.repaired(tree, layout.slot, stop)
        try:
            with self._shortcuts.known() as known:
                return prepare.recycled(differing, tree, layout.slot, known, stop)
        except BadLine as problem:
            log.warning("%s; the slot is made by walking both trees", problem.message)
            return prepare.repaired(tree, layout.slot, stop)

    # --- filling it

    def stage(self, plan: Plan, clone_above: int | None) -> Target:
        """Make the staging folder; from here on the state of the slot is not known until it is published."""
        record, layout, tree = self._ledger.record, self._layout, self._ledger.newest_tree
        self._is_copy = False
        believed = record.fetched_flushed
        if record.slot_equals is not None or believed:
            record.slot_equals, record.fetched_flushed = None, False
            self._ledger.save()
        if tree is not None:
            self._before = folder_attributes.of_changing(plan, layout.slot)
        ready, patch = stage(plan, self._prepared, tree, layout, clone_above, believed=believed)
        return Target(
            layout.staging, tree, layout.scratch, layout.partial, layout.names, frozenset(ready), frozenset(patch),
            manifest=layout.manifest(record.newest.id) if record.newest is not None else None,
        )  # fmt: skip

    def fill(
        self, plan: Plan, arrived: Sequence[Arrived], gone: Collection[bytes], kept: Sequence[bytes]
    ) -> frozenset[bytes]:
        """Apply the plan to the slot, which is equal to the newest snapshot: kept names are there already."""
        layout, tree, self._plan = self._layout, self._ledger.newest_tree, plan
        self._prepared.copies |= staging.place(plan, arrived, layout.slot, gone)
        staging.remove_trees(layout.staging)
        if tree is not None:
            folder_attributes.restore(plan, self._prepared.touched, tree, layout.slot, self._before)
            self._shortcuts.filled(plan)
        return frozenset(self._prepared.copies)

    def is_shared(self, path: bytes) -> bool:
        """Whether a file of the slot has further names, in the snapshots."""
        return names.Tree(self._layout.slot).link_count(path) > 1

    def publish(self, sealed: Sealed, expiring: Sequence[Decision]) -> Published:
        """Make it `backup.1`. See `publish`."""
        plan, self._plan, self._is_copy = self._plan, None, False
        return publish(self._ledger, self._shortcuts, sealed, plan, expiring)

    # --- ending without a snapshot

    @property
    def resuming(self) -> SupportsResuming:
        """The slot itself: it knows what an interrupted night has fetched."""
        return self

    def fetched(self) -> int:
        """Bytes of files in the staging folder and the slot that are in no snapshot, and of partial files."""
        here = names.Tree(self._layout.slot)
        found = [os.lstat(here.at(paths[0])) for paths in self._prepared.leftovers.values()]
        for tree in staging.trees(self._layout.staging):
            there = names.Tree(tree)
            # a file with further names was moved: it is in a snapshot, and not fetched
            own = (paths for _, links, paths in staging.files(tree) if links == len(paths))
            found += [os.lstat(there.at(paths[0])) for paths in own]
        found += map(os.lstat, names_in(self._layout.partial))
        return sum(min(one.st_size, one.st_blocks * 512) for one in found)

    def discard(self, *, everything: bool) -> None:
        """Remove partial files, and with `everything` the staging folder, and all in the slot that the newest snapshot
        lacks.
        """
        for path in (*names_in(self._layout.scratch), *names_in(self._layout.partial)):
            os.unlink(path)
        if everything:
            staging.remove_trees(self._layout.staging)
            self._prepared = discard(self._layout, self._ledger.newest_tree)

    def leave(self) -> None:
        """Record that the slot is an exact copy of the newest snapshot, for a run that ends before changing it."""
        record = self._ledger.record
        if self._is_copy and record.newest is not None and record.slot_equals != record.newest.id:
            record.slot_equals = record.newest.id
            self._ledger.save()

    def pause(self) -> None:
        """Flush the fetched files, and record that they are complete.

        A file system writes contents later than names, sizes and times, and reports a failed write only once.
        """
        if self._layout.slot.exists():
            filesystems.flush(self._layout.slot)
            self._ledger.record.fetched_flushed = True
            self._ledger.save()
