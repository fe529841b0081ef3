"""The hard link store: `backup.1` … `backup.N`, plain folders that share what has not changed.

See `slot` for how the next one is made, `staging` for why no sealed inode is ever touched, `rotation` for the numbers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from snapmirror import files, interrupts
from snapmirror.errors import StorageError
from snapmirror.snapshots import checksums, manifest, names, packed, record, settle, staging
from snapmirror.snapshots.entry import BadLine
from snapmirror.snapshots.hardlink import changes, healing, hints, purging, rotation, slot
from snapmirror.snapshots.hardlink.discard import discard
from snapmirror.snapshots.hardlink.layout import Layout
from snapmirror.snapshots.hardlink.scratch import names_in, save_interrupted
from snapmirror.snapshots.hardlink.stage import stage
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.protocol import READ_BACK, Preparing, Published, Sealed, Target
from snapmirror.snapshots.record import Purge, Snapshot
from snapmirror.snapshots.retention import Decision
from snapmirror.snapshots.staging import Arrived
from snapmirror.threads import one_worker
from snapmirror.tools import filesystems

log = logging.getLogger("snapmirror.store")
_HEALINGS = 1000
"""So many are remembered."""
_OWN_MANIFEST = 16  # nights
_NIGHTS = 100  # what was noted of older ones is of no use to a slot that differs in so much


class HardlinkStore:
    """The history of one mirror in `root`, a folder of the store. See `protocol.SnapshotStore`."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.check()
        if self.layout.backup(1).exists() and not self.layout.record.exists():
            raise StorageError(
                f"there are snapshots in {root}, but the record {self.layout.record} is missing",
                hint=f"copy {self.layout.record}.previous back, its last version; the snapshots are plain folders",
            )
        self._record = record.load(self.layout.record)
        self._prepared = slot.Prepared()
        self._is_copy = False  # the slot is known to equal the newest snapshot
        self._before: settle.Folders = {}

    def snapshots(self) -> list[Snapshot]:
        """What is published, the newest first."""
        return list(self._record.snapshots)

    def next_sequence(self) -> int:
        """The number of the snapshot that would be published next."""
        return self._record.sequence + 1

    def tree(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot."""
        return self.layout.backup(snapshot.slot)

    def mounted(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot."""
        return self.tree(snapshot)

    def dated(self, snapshot: Snapshot) -> Path:
        """The dated name of that folder."""
        return self.layout.by_date / snapshot.id

    def unfinished(self) -> bool:
        """Whether a rotation or a purge was cut off."""
        return bool(self._record.moves) or self.layout.purging.exists()

    def manifest(self, snapshot: Snapshot) -> Path:
        """The manifest of a snapshot."""
        return self.layout.manifest(snapshot.id)

    def checksums(self, sequence: int) -> Path:
        """The checksum file of the snapshot with this number."""
        return self.layout.checksums(sequence)

    def read_back(self) -> Path:
        """Where it is written down how far the contents have been read back."""
        return self.layout.private / READ_BACK

    def copies(self) -> frozenset[bytes]:
        """Unchanged names that are copies in this slot."""
        return frozenset(self._prepared.copies)

    def recover(self) -> list[str]:
        """Finish a rotation that was cut off, and clear away what is nobody's."""
        done = []
        self.layout.make()
        if self.finish_healing():
            done.append("completed the healing of a file that the last run had begun")
        if self._record.moves:
            self._make_moves()
            self._save()
            done.append("finished the rotation that the last run began")
        if self.finish_purging():
            done.append("took the names out of all snapshots that were being purged")
        for path in self.layout.private.glob(f"{rotation.TRASH}*"):
            names.remove_tree(path)
            done.append("removed an expired snapshot that the last run left")
        self.layout.names.unlink(missing_ok=True)
        known = {*(snapshot.id for snapshot in self._record.snapshots), self._record.parked}
        for path in (self.layout.private / "manifests").iterdir():
            if path.name.removesuffix(".zst") not in known:
                path.unlink()
        if save_interrupted(self.layout):
            done.append("kept what the last run had received of its last file")
        if self.layout.slot.exists() and self._record.slot_equals is None:
            done.append("the last run did not finish; this one goes on from there")
        return done

    def finish_healing(self) -> bool:
        """Heal the file that the journal tells of, and write that down; False if there is no journal."""
        note = healing.complete(self.layout)
        if note is None:
            return False
        if note.snapshots and note not in self._record.healed:
            self._record.healed = [*self._record.healed, note][-_HEALINGS:]
            self._record.snapshots = [
                one.model_copy(update={"healed": one.healed + note.snapshots.get(one.id, 0)})
                for one in self._record.snapshots
            ]
            self._save()
        healing.forget(self.layout)
        return True

    def purge(self, paths: Sequence[bytes], note: Purge) -> None:
        """Take names, and what lies below them, out of all snapshots. See `purging`."""
        self.layout.make()
        purging.begin(self.layout, self._record, note, paths)
        self.finish_purging()

    def finish_purging(self) -> bool:
        """Complete a purge that was begun; False if there is none."""
        record = purging.complete(self.layout, self._record)
        if record is None:
            return False
        self._record = record
        self._save()
        purging.forget_journal(self.layout)
        return True

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Let these snapshots go, as if they had expired; the others get new numbers."""
        gone = {one.id for one in snapshots}
        kept = [one for one in self._record.snapshots if one.id not in gone]
        expired = [one for one in self._record.snapshots if one.id in gone]
        self._record.moves = rotation.moves(self.layout, kept, expired, park=False)
        self._record.snapshots = [one.model_copy(update={"slot": slot}) for slot, one in enumerate(kept, start=1)]
        with interrupts.deferred():
            self._save()
            self._make_moves()
            self._save()
        self._remove(expired)

    def clear_scratch(self) -> None:
        """Remove what a dead run has left of files that it was making, or hand it to the next night."""
        save_interrupted(self.layout)

    def _save(self) -> None:
        record.save(self._record, self.layout.record)

    def _make_moves(self) -> None:
        rotation.make(self.layout, self._record.moves)
        rotation.date(self.layout, self._record.snapshots)
        self._record.moves = []

    # --- the slot

    @contextmanager
    def preparing(self) -> Iterator[Preparing]:
        """Makes the slot in a thread of its own, while the source is being listed."""
        stop = Event()
        with one_worker("slot") as pool:
            try:
                with interrupts.deferred():  # a thread that is being started must not be lost
                    ready = pool.submit(self._prepare, stop)

                def wait() -> bool:
                    self._prepared = ready.result()
                    self._is_copy = self._prepared == slot.Prepared()
                    return not self._prepared.lost

                yield wait
            finally:
                stop.set()

    def _prepare(self, stop: Event) -> slot.Prepared:
        newest, layout = self._record.newest, self.layout
        if newest is None:
            if layout.slot.exists():
                return slot.repaired(None, layout.slot, stop)
            layout.slot.mkdir()
            return slot.Prepared()
        tree = self.tree(newest)
        if not tree.is_dir():
            raise StorageError(f"the newest snapshot {tree} is missing", hint="was it moved by hand?")
        if layout.slot.exists():
            if self._record.slot_equals == newest.id:
                return slot.Prepared()
            return slot.repaired(tree, layout.slot, stop)
        if not layout.parked.exists():
            return slot.copied(tree, layout.slot, stop)
        return self._recycle(newest, tree, stop)

    def _recycle(self, newest: Snapshot, tree: Path, stop: Event) -> slot.Prepared:
        layout, parked = self.layout, self._record.parked
        differing = None if parked is None else self._differing(parked, newest)
        self._record.parked = None  # (not saved yet: a name of what is not there does no harm)
        os.rename(layout.parked, layout.slot)
        # After half a minute's rest XFS brings all that its journal holds to its place at the first flush. Let it do so
        # now, while that is next to nothing, and not when the end of the night waits behind it.
        filesystems.sync(layout.private)
        if parked is not None:
            layout.manifest(parked).unlink(missing_ok=True)
        if differing is None:
            return slot.repaired(tree, layout.slot, stop)
        try:
            with hints.opened(layout) as known:
                return slot.recycled(differing, tree, layout.slot, known, stop)
        except BadLine as problem:
            log.warning("%s; the slot is made by walking both trees", problem.message)
            return slot.repaired(tree, layout.slot, stop)

    def _differing(self, expired: str, newest: Snapshot) -> changes.Differing | None:
        """What differs between an expired snapshot and the newest; None if nothing tells."""
        layout = self.layout
        by_nights = changes.between(layout, expired, newest)
        return by_nights or changes.compared(layout.manifest(expired), layout.manifest(newest.id))

    def slot(self) -> Path:
        """The tree that is being made."""
        return self.layout.slot

    def stage(self, plan: Plan, clone_above: int | None) -> Target:
        """Make the staging folder; from here on nothing is sure of the slot until it is published."""
        newest, layout = self._record.newest, self.layout
        tree = self.tree(newest) if newest else None
        self._is_copy = False
        believed = self._record.fetched_flushed
        if self._record.slot_equals is not None or believed:
            self._record.slot_equals, self._record.fetched_flushed = None, False
            self._save()
        if newest is not None:
            self._before = settle.folders_before(plan, layout.slot)
        ready, patch = stage(plan, self._prepared, tree, layout, clone_above, believed=believed)
        return Target(
            layout.staging, tree, layout.scratch, layout.partial, layout.names, frozenset(ready), frozenset(patch)
        )  # fmt: skip

    def place(self, plan: Plan, arrived: Sequence[Arrived], gone: Collection[bytes], kept: Sequence[bytes]) -> None:
        """Apply the plan to the slot, in which everything is as in the newest snapshot: what is kept is there."""
        self._prepared.copies |= staging.place(plan, arrived, self.layout.slot, gone)
        staging.clear(self.layout.staging)

    def settle(self, plan: Plan) -> None:
        """Give folders that are not in the plan their attributes back."""
        if self._record.newest is not None:
            tree, slot = self.tree(self._record.newest), self.layout.slot
            settle.settle(plan, self._prepared.touched, tree, slot, self._before)
            hints.write(self.layout, plan)

    def checksum(self, path: bytes) -> bytes | None:
        """The checksum of a file in the slot."""
        here = names.Tree(self.layout.slot)
        if here.is_file(path):
            return checksums.of_file(here.at(path))
        return None

    def is_shared(self, path: bytes) -> bool:
        """Whether a file of the slot has further names: those in the snapshots."""
        return names.Tree(self.layout.slot).link_count(path) > 1

    def fetched(self) -> int:
        """Bytes of files in the staging folder and the slot that no snapshot knows, and of those that came in part."""
        here = names.Tree(self.layout.slot)
        found = [os.lstat(here.at(paths[0])) for paths in self._prepared.leftovers.values()]
        for tree in staging.trees(self.layout.staging):
            there = names.Tree(tree)
            found += [os.lstat(there.at(paths[0])) for _, _, paths in staging.files(tree)]
        found += map(os.lstat, names_in(self.layout.partial))
        return sum(min(one.st_size, one.st_blocks * 512) for one in found)

    def discard(self, *, everything: bool) -> bool:
        """Remove what has come in part, and `everything`: the staging folder, and what in the slot is not the newest
        snapshot's.
        """
        for path in (*names_in(self.layout.scratch), *names_in(self.layout.partial)):
            os.unlink(path)
        if everything:
            newest = self._record.newest
            staging.clear(self.layout.staging)
            self._prepared = discard(self.layout, self.tree(newest) if newest else None)
        return True

    def leave(self) -> None:
        """Write down that the slot is a true copy of the newest snapshot, for a run that ends before changing it."""
        newest = self._record.newest
        if self._is_copy and newest is not None and self._record.slot_equals != newest.id:
            self._record.slot_equals = newest.id
            self._save()

    def pause(self) -> None:
        """Flush what has come, and write down that it is whole.

        A file system writes contents later than names, sizes and times, and tells of a failed write only once.
        """
        if self.layout.slot.exists():
            filesystems.flush(self.layout.slot)
            self._record.fetched_flushed = True
            self._save()

    # --- publishing

    def publish(self, sealed: Sealed, expiring: Sequence[Decision]) -> Published:
        """Write down, flush, rename, and let the expired go.

        A flush is dear on a slow store, above all right after a big one, when the file system brings what is in its
        journal to its place. So all that has to be on the device goes there at once, the records of before and after
        the renames among it; the next flush is the moment at which the snapshot exists, and there is no third.
        """
        layout = self.layout
        manifest.store(layout.manifest(sealed.snapshot.id), sealed.manifest, self._like(sealed.snapshot))
        files.write(layout.checksums(sealed.snapshot.sequence), packed.pack(sealed.checksums))
        changes.write(layout, self._record.newest, sealed)
        expired = [decision.snapshot for decision in expiring]
        kept = [sealed.snapshot, *(one for one in self._record.snapshots if one not in expired)]
        park = bool(expired) and not layout.parked.exists()
        moved = self._record.model_copy(
            update={
                "snapshots": [one.model_copy(update={"slot": number}) for number, one in enumerate(kept, start=1)],
                "sequence": sealed.snapshot.sequence,
                "parked": expired[0].id if park else self._record.parked,
                "slot_equals": None,
            }
        )
        moving = moved.model_copy(update={"moves": rotation.moves(layout, kept, expired, park=park)})
        first, then = record.stage(moving, layout.record), record.stage(moved, layout.record, ".moved")
        filesystems.flush(layout.root)
        with interrupts.deferred():  # a signal leaves no gap in the numbers; a crash may, until the next run
            record.put(first, layout.record)
            filesystems.sync(layout.private)  # the moment at which the snapshot exists
            self._record = moving
            self._make_moves()
            record.put(then, layout.record)
        if park:
            self._drop_notes(max(expired[0].sequence, moved.sequence - _NIGHTS))
        self._remove(expired)
        for path in names_in(layout.partial):
            os.unlink(path)
        self._is_copy = False
        self._drop_checksums()
        return Published(self._record.snapshots[0], list(expiring))

    def _remove(self, expired: Sequence[Snapshot]) -> None:
        for snapshot in expired:
            names.remove_tree(self.layout.private / f"{rotation.TRASH}{snapshot.id}")
            if snapshot.id != self._record.parked:
                self.layout.manifest(snapshot.id).unlink(missing_ok=True)

    def _like(self, snapshot: Snapshot) -> Path | None:
        """The manifest that a new one may share blocks with. Now and then none, so that one that goes bad is not one of
        all manifests, and a manifest's pieces do not come to lie ever further from each other.
        """
        newest = self._record.newest
        if newest is None or snapshot.full or snapshot.sequence % _OWN_MANIFEST == 0:
            return None
        return self.manifest(newest)

    def _drop_notes(self, last: int) -> None:
        """Drop what was noted of the nights up to this one: no slot is older than it."""
        for folder in ("hints", "changes"):
            for file in (self.layout.private / folder).glob("*.zst"):
                if file.stem.isdecimal() and int(file.stem) <= last:
                    file.unlink()

    def _drop_checksums(self) -> None:
        """Drop checksum files that no manifest refers to; looked at only when their number has doubled."""
        sums = self.layout.private / "sums"
        if len(list(sums.glob("*.zst"))) < 2 * max(self._record.checksum_files_kept, 8):
            return
        if (kept := checksums.drop_unused(sums, self.layout.private / "manifests")) is not None:
            self._record.checksum_files_kept = kept
            self._save()

    def set_pinned(self, snapshot: Snapshot, pinned: bool) -> Snapshot:
        """Pin a snapshot, or let it go."""
        changed = snapshot.model_copy(update={"pinned": pinned})
        self._record.snapshots = [changed if one.id == snapshot.id else one for one in self._record.snapshots]
        self._save()
        return changed
