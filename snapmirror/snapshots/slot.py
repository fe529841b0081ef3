"""What a slot is: the tree of one night, from its preparation to its publication as the newest snapshot.

The steps come in this order: `preparing` makes the slot equal to the newest snapshot, `stage` makes ready what rsync
fills, `fill` applies the plan, `publish` makes it a snapshot. A night may end before any of them; what it leaves is the
next night's to put right, by the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.retention import Decision
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.staging import KEPT, WAITING, Arrived


@dataclass(frozen=True)
class Target:
    """Where rsync puts a night's files: each rsync a tree of its own in the folder `staging`; with the folder `basis`
    of earlier versions, scratch folders, and a scratch file for the list of names.

    Files that are there already stand in the tree `waiting`: `ready` are their names, `patch` those of them that are an
    older version, to be changed in place; `in_place`: every name may be, and what could not be goes to `kept`.
    """

    staging: Path
    basis: Path | None
    scratch: Path
    partial: Path
    names: Path
    ready: frozenset[bytes] = frozenset()
    patch: frozenset[bytes] = frozenset()
    in_place: bool = False

    @property
    def waiting(self) -> Path:
        """Files that an rsync will go on with."""
        return self.staging / WAITING

    @property
    def kept(self) -> Path:
        """Files that could not be brought up to date."""
        return self.staging / KEPT


@dataclass(frozen=True)
class Sealed:
    """A complete slot: its manifest, the checksums of its new files with escaped names, and what is known of it."""

    snapshot: Snapshot
    manifest: bytes
    checksums: Spool[bytes, bytes]


@dataclass
class Published:
    """What publishing has done. `expired` are those of the expiring snapshots that are gone now."""

    snapshot: Snapshot
    expired: list[Decision] = field(default_factory=list)


Preparing = Callable[[], bool]
"""Waits until the slot equals the newest snapshot; False if that snapshot lacks files that its manifest lists, which
only a comparison with the tree itself can mend. Raises what the preparation raised."""


class SupportsResuming(Protocol):
    """What a night that publishes nothing leaves in a slot, where a store knows of it: it is kept, or given back."""

    def fetched(self) -> int:
        """Bytes that an interrupted night has brought already, as far as that is known."""

    def discard(self, *, everything: bool) -> None:
        """Give back the room that an interrupted night, or this one, has taken.

        First what had come in part only; `everything`: whole files as well.
        """

    def leave(self) -> None:
        """The run ends before it has changed the slot: write down that the slot is ready, so the next one need not."""

    def pause(self) -> None:
        """The run ends while it fills the slot: have on the device what has come, so that the next may believe it."""


class Slot(Protocol):
    """The tree of one night. No method changes a published snapshot, whenever it is interrupted."""

    @property
    def resuming(self) -> SupportsResuming | None:
        """None where a store does not know what an interrupted night has brought, or need not be told."""

    @property
    def tree(self) -> Path:
        """The tree that is being made; once it is prepared, it has the newest snapshot's names."""

    def preparing(self) -> AbstractContextManager[Preparing]:
        """Makes the slot beside what else is being done; the slot outlives the context, whatever happens."""

    def stage(self, plan: Plan, clone_above: int | None) -> Target:
        """Make the staging tree ready for what a plan asks for."""

    def fill(
        self, plan: Plan, arrived: Sequence[Arrived], gone: Collection[bytes], kept: Sequence[bytes]
    ) -> frozenset[bytes]:
        """Apply a plan to the slot: what has arrived moves there, what is gone is removed, names are linked, and
        folders have the attributes that they should have. Returns unchanged names that got an inode of their own.

        Names that are `kept` have the version that they have in the newest snapshot. Of the staging folder nothing is
        left, whatever it holds besides.
        """

    def is_shared(self, path: bytes) -> bool:
        """Whether an unchanged file of the slot takes no room of its own."""

    def publish(self, sealed: Sealed, expiring: Sequence[Decision]) -> Published:
        """Make the slot the newest snapshot, durably, and let the `expiring` snapshots go.

        Retention has decided which these are, by all snapshots that there are (see `retention.expired`). So one that
        could not go, or that a crash has kept, is among them again in the next night.
        """
