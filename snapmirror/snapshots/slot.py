"""The protocol of a slot: the tree of one night, from its preparation to its publication as the newest snapshot.

The steps come in this order: `preparing` makes the slot equal to the newest snapshot, `stage` prepares the trees for
rsync, `fill` applies the plan, `publish` makes it a snapshot. A night may end before any of them; the next night
repairs what it leaves, by the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.retention import Decision
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.staging import KEPT, WAITING, Arrived


class Target(Struct, frozen=True):
    """The destination of a night's files: each rsync has a tree of its own in the folder `staging`; with the folder
    `basis` of earlier versions, scratch folders, and a scratch file for the list of names.

    Files fetched before are in the tree `waiting`: `ready` are their names, `patch` those of them that are an older
    version, to be changed in place; `in_place`: every name may be changed so, and files that could not be go to `kept`.
    `manifest` is that of the earlier versions.
    """

    staging: Path
    basis: Path | None
    scratch: Path
    partial: Path
    names: Path
    ready: frozenset[bytes] = frozenset()
    patch: frozenset[bytes] = frozenset()
    in_place: bool = False
    manifest: Path | None = None

    @property
    def waiting(self) -> Path:
        """Files with which an rsync will continue."""
        return self.staging / WAITING

    @property
    def kept(self) -> Path:
        """Files that could not be updated."""
        return self.staging / KEPT


class Sealed(Struct, frozen=True):
    """A complete slot: its manifest, the checksums of its new files with escaped names, and the facts about it."""

    snapshot: Snapshot
    manifest: bytes
    checksums: Spool[bytes, bytes]


class Published(Struct):
    """The result of publishing. `expired` are those of the expiring snapshots that were removed."""

    snapshot: Snapshot
    expired: list[Decision] = field(default_factory=list)


Preparing = Callable[[], bool]
"""Waits until the slot equals the newest snapshot; False if that snapshot lacks files that its manifest lists, which
only a comparison with the tree itself can mend. Raises what the preparation raised."""


class SupportsResuming(Protocol):
    """The files that a night without a snapshot leaves in a slot, if a store knows them: to be kept, or discarded."""

    def fetched(self) -> int:
        """Bytes that an interrupted night has fetched already, as far as known."""

    def discard(self, *, everything: bool) -> None:
        """Free the space that an interrupted night, or this one, has taken.

        Only partial files; `everything`: complete files as well.
        """

    def leave(self) -> None:
        """The run ends before changing the slot: record that the slot is ready, which spares the next preparation."""

    def pause(self) -> None:
        """The run ends while filling the slot: flush the fetched files, so that the next run can trust them."""


class Slot(Protocol):
    """The tree of one night. No method changes a published snapshot, whenever it is interrupted."""

    @property
    def resuming(self) -> SupportsResuming | None:
        """None if a store does not know what an interrupted night has fetched, or does not need this."""

    @property
    def tree(self) -> Path:
        """The tree that is being made; after the preparation it has the newest snapshot's names."""

    def preparing(self) -> AbstractContextManager[Preparing]:
        """Prepares the slot in parallel to other work; the slot outlives the context, whatever happens."""

    def stage(self, plan: Plan, clone_above: int | None) -> Target:
        """Prepare the staging tree for the names that a plan requests."""

    def fill(
        self, plan: Plan, arrived: Sequence[Arrived], gone: Collection[bytes], kept: Sequence[bytes]
    ) -> frozenset[bytes]:
        """Apply a plan to the slot: move names that have arrived there, remove those that are gone, link names, and set
        the attributes of folders. Returns unchanged names that got an inode of their own.

        Names that are `kept` have their version of the newest snapshot. The staging folder is removed, with anything
        else in it.
        """

    def is_shared(self, path: bytes) -> bool:
        """Whether an unchanged file of the slot takes no space of its own."""

    def publish(self, sealed: Sealed, expiring: Sequence[Decision]) -> Published:
        """Make the slot the newest snapshot, durably, and remove the `expiring` snapshots.

        Retention has chosen these from all existing snapshots (see `retention.expired`). So one that could not be
        removed, or that a crash has kept, is among them again in the next night.
        """
