"""The ZFS store: the slot is a dataset, changed in place; sealing it is `zfs snapshot`.

See `layout` for what lies where, `sealing` for what says that a snapshot is published, `survey` and `stage` for how a
slot is put right after a night that failed. Such a night is not rolled back: what it has transferred would be lost with
it, and a first night of many hours would never come to its end.

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
from snapmirror.errors import StorageError
from snapmirror.snapshots import checksums, packed
from snapmirror.snapshots.names import Tree, remove_tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.protocol import READ_BACK, Preparing, Published, Sealed, Target
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.retention import Decision
from snapmirror.snapshots.settle import settle
from snapmirror.snapshots.staging import KEPT, Arrived, move, place
from snapmirror.snapshots.zfs import sealing
from snapmirror.snapshots.zfs.layout import Layout
from snapmirror.snapshots.zfs.stage import put_back, stage, unstage
from snapmirror.snapshots.zfs.survey import Survey, survey
from snapmirror.storage import pool
from snapmirror.threads import one_worker
from snapmirror.tools import filesystems, zfs, zpool

log = logging.getLogger("snapmirror.store")

_TIDY_EVERY = 16  # nights between two looks at which checksums are still needed: each reads all manifests


class ZfsStore:
    """The history of one mirror in the store's dataset `base`, mounted at `path`. See `protocol.SnapshotStore`."""

    def __init__(self, base: str, path: Path, mirror: str) -> None:
        self.base, self.path, self.mirror = base, path, mirror
        self.dataset = f"{base}/{mirror}"
        self.layout = Layout(path / mirror)
        self.layout.check()
        self._survey = Survey()
        self._snapshots = self._load()

    def _load(self) -> list[Snapshot]:
        """What ZFS says, the newest first."""
        if not zfs.exists(self.dataset):
            return []
        facts = zfs.snapshots(self.dataset, sealing.PROPERTY)
        held = zfs.held(self.dataset, [one.name for one in facts if one.holds and one.note is not None], sealing.HOLD)
        ours = [found for one in facts if (found := sealing.read(one, 0, pinned=one.name in held)) is not None]
        ours.sort(key=lambda one: one.id, reverse=True)
        return [one.model_copy(update={"slot": number}) for number, one in enumerate(ours, start=1)]

    def snapshots(self) -> list[Snapshot]:
        """What is published, the newest first."""
        return list(self._snapshots)

    @property
    def _newest(self) -> Snapshot | None:
        return self._snapshots[0] if self._snapshots else None

    def next_sequence(self) -> int:
        """The number of the snapshot that would be published next."""
        return max((one.sequence for one in self._snapshots), default=0) + 1

    def tree(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot, which the kernel mounts when it is first looked into."""
        return self.layout.tree(snapshot.id)

    def mounted(self, snapshot: Snapshot) -> Path:
        """The tree of a snapshot, mounted by us: the kernel knows no options, and not every machine lets it."""
        tree = self.tree(snapshot)
        zfs.mount_snapshot(self.dataset, snapshot.id, tree.parent, pool.OPTIONS)
        return tree

    def dated(self, snapshot: Snapshot) -> Path:
        """The dated name of that folder."""
        return self.layout.by_date / snapshot.id

    def unfinished(self) -> bool:
        """Never: a snapshot is there or not."""
        return False

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
        """None: nothing is copied here."""
        return frozenset()

    def recover(self) -> list[str]:
        """Make what is missing, and clear away what belongs to no snapshot."""
        self.layout.make()
        pool.add_mirror(self.base, self.path, self.mirror)
        self.layout.slot.mkdir(mode=0o700, exist_ok=True)
        self.layout.names.unlink(missing_ok=True)
        known = {one.id for one in self._snapshots}
        for path in self.layout.manifests.iterdir():
            if path.name.removesuffix(".zst") not in known:
                path.unlink()
        self._date()
        return []

    def _date(self) -> None:
        """Make the dated names those of the snapshots."""
        known = {one.id for one in self._snapshots}
        for link in self.layout.by_date.iterdir():
            if link.name in known:
                known.discard(link.name)
            else:
                link.unlink()
        for name in known:
            (self.layout.by_date / name).symlink_to(Path("..", self.layout.tree(name).relative_to(self.layout.root)))

    # --- the slot

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
        newest = self._newest
        if newest is not None:
            zpool.sync(self.dataset.partition("/")[0])  # what is written is counted when it is on the devices
            if not zfs.written_since(self.dataset, newest.id):
                self.layout.began.unlink(missing_ok=True)
                return Survey()
        if self.layout.staging.exists():
            unstage(self.layout.staging, self.layout.slot, self._began() or 0)
        found = survey(self.mounted(newest) if newest else None, self.layout.slot, stop)
        if not found.is_clean:
            log.info("%s: the last run did not finish; this one goes on from there", self.mirror)
        return found

    def slot(self) -> Path:
        """The tree that is being made."""
        return self.layout.slot

    def stage(self, plan: Plan, clone_above: int | None) -> Target:
        """Move what can be updated in place into the staging folder, and put right what a failed night has left."""
        newest, layout = self._newest, self.layout
        tree = self.mounted(newest) if newest else None
        ready = stage(plan, self._survey, tree, layout.slot, layout.staging, self._begin())
        return Target(
            layout.staging, tree, layout.scratch, layout.scratch, layout.names, frozenset(ready), in_place=True
        )  # fmt: skip

    def place(self, plan: Plan, arrived: Sequence[Arrived], gone: Collection[bytes], kept: Sequence[bytes]) -> None:
        """Apply the plan to the slot. What is kept may have changed in part: it gets back what the snapshot has."""
        layout = self.layout
        if kept and self._newest is not None:
            here, there = Tree(layout.slot), Tree(layout.staging / KEPT)
            for path in kept:
                move(there, here, path)
            put_back(kept, self.mounted(self._newest), layout.slot)
        place(plan, arrived, layout.slot, gone)
        remove_tree(layout.staging)

    def _began(self) -> int | None:
        try:
            return int(files.read(self.layout.began))
        except (FileNotFoundError, ValueError):
            return None

    def _begin(self) -> int:
        """When the slot began to differ from the newest snapshot, in ns: now, or in an earlier night that failed."""
        if (before := self._began()) is not None:
            return before
        if not self._survey.is_clean:
            return 0  # nobody knows
        began = time.time_ns()
        filesystems.write(self.layout.began, b"%d" % began)
        return began

    def settle(self, plan: Plan) -> None:
        """Give folders that are not in the plan their attributes back."""
        if self._newest is not None:
            settle(plan, self._survey.touched, self.mounted(self._newest), self.layout.slot)

    def checksum(self, path: bytes) -> bytes | None:
        """The checksum of a file in the slot."""
        here = Tree(self.layout.slot)
        return checksums.of_file(here.at(path)) if here.is_file(path) else None

    def is_shared(self, path: bytes) -> bool:
        """Whether a file is still the one that the newest snapshot holds."""
        assert self._newest is not None
        inode = Tree(self.layout.slot).inode(path)
        return inode is not None and inode == Tree(self.mounted(self._newest)).inode(path)

    def fetched(self) -> int:
        """Not known: only the next transfer tells what it need not fetch again."""
        return 0

    def discard(self, *, everything: bool) -> bool:
        """Not here: what a failed night has written is put right by the next one that has room."""
        return False

    def leave(self) -> None:
        """Nothing: ZFS knows whether the slot differs from the newest snapshot."""

    def pause(self) -> None:
        """Nothing: what ZFS has of a file's size and time it has of its content."""

    # --- publishing

    def publish(self, sealed: Sealed, expiring: Sequence[Decision]) -> Published:
        """Write down, seal, and let the expired go."""
        layout, snapshot = self.layout, sealed.snapshot
        files.write(layout.manifest(snapshot.id), sealed.manifest)
        files.write(layout.checksums(snapshot.sequence), packed.pack(sealed.checksums))
        with interrupts.deferred():
            zfs.snapshot(self.dataset, snapshot.id, sealing.written(snapshot))  # the moment at which it exists
            layout.began.unlink(missing_ok=True)
            self._snapshots = self._load()
            self._survey = Survey()
            self._date()
        expired = [decision for decision in expiring if self._destroy(decision.snapshot)]
        if expired:
            self._snapshots = self._load()
            self._date()
        if snapshot.sequence % _TIDY_EVERY == 0:
            checksums.drop_unused(layout.sums, layout.manifests)
        return Published(self._snapshots[0], expired)

    def _destroy(self, snapshot: Snapshot) -> bool:
        """Destroy an expired snapshot; one that somebody else holds, or has cloned, stays until the next night."""
        try:
            zfs.destroy_snapshot(self.dataset, snapshot.id)
        except StorageError as error:
            log.warning("%s: the expired snapshot stays: %s", self.mirror, error.message)
            return False
        self.layout.manifest(snapshot.id).unlink(missing_ok=True)
        return True

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Destroy snapshots. Raises StorageError for one that somebody else holds, or has cloned."""
        for snapshot in snapshots:
            zfs.destroy_snapshot(self.dataset, snapshot.id)
            self.layout.manifest(snapshot.id).unlink(missing_ok=True)
        self._snapshots = self._load()
        self._date()

    def set_pinned(self, snapshot: Snapshot, pinned: bool) -> Snapshot:
        """Pin a snapshot by a hold, or let it go."""
        if pinned != snapshot.pinned:
            (zfs.hold if pinned else zfs.release)(self.dataset, snapshot.id, sealing.HOLD)
        self._snapshots = self._load()
        return next(one for one in self._snapshots if one.id == snapshot.id)
