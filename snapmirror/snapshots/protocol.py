"""What a snapshot store is: the few things that a night asks of the place where history is kept."""

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

READ_BACK = "read-back.json"
"""The name of that file, among what is snapmirror's own."""


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
    """A complete slot: its manifest, the checksums of its new files with escaped names, and what is known of it.

    `differing` are the names whose lines or numbers differ from the newest snapshot's manifest, both sides numbered;
    None if that is not known.
    """

    snapshot: Snapshot
    manifest: bytes
    checksums: Spool
    differing: Spool | None = None


@dataclass
class Published:
    """What publishing has done. `expired` are those of the expiring snapshots that are gone now."""

    snapshot: Snapshot
    expired: list[Decision] = field(default_factory=list)


Preparing = Callable[[], bool]
"""Waits until the slot equals the newest snapshot; False if that snapshot lacks files that its manifest lists, which
only a comparison with the tree itself can mend. Raises what the preparation raised."""


class Catalogue(Protocol):
    """What one mirror's history holds, by its records and manifests: no file of a snapshot is needed to tell."""

    def snapshots(self) -> list[Snapshot]:
        """What is published, the newest first."""

    def tree(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot."""

    def dated(self, snapshot: Snapshot) -> Path:
        """The dated name of that folder, which stays when the numbers move on: for people, and for what is printed."""

    def manifest(self, snapshot: Snapshot) -> Path:
        """The manifest of a snapshot."""

    def checksums(self, sequence: int) -> Path:
        """The checksum file of the snapshot with this number, which may have expired."""

    def read_back(self) -> Path:
        """Where it is written down how far the contents have been read back, if that was ever begun."""


class SnapshotStore(Catalogue, Protocol):
    """One mirror's history. Every method leaves published snapshots as they are, whenever it is interrupted."""

    def recover(self) -> list[str]:
        """Finish or undo what a dead run has left; say what was done."""

    def next_sequence(self) -> int:
        """The number of the snapshot that would be published next."""

    def mounted(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot, ready to be read by a run. Raises SnapmirrorError."""

    def unfinished(self) -> bool:
        """Whether a dead run has left the folders in disorder, which `recover` mends."""

    def preparing(self) -> AbstractContextManager[Preparing]:
        """Makes the slot beside what else is being done; the slot outlives the context, whatever happens."""

    def slot(self) -> Path:
        """The tree that is being made; once it is prepared, it has the newest snapshot's names."""

    def stage(self, plan: Plan, clone_above: int | None) -> Target:
        """Make the staging tree ready for what a plan asks for."""

    def place(self, plan: Plan, arrived: Sequence[Arrived], gone: Collection[bytes], kept: Sequence[bytes]) -> None:
        """Apply a plan to the slot: what has arrived moves there, what is gone is removed, names are linked.

        Names that are `kept` have the version that they have in the newest snapshot. Of the staging folder nothing is
        left, whatever it holds besides.
        """

    def settle(self, plan: Plan) -> None:
        """Give folders that are not in the plan, but in which names have changed, their attributes back."""

    def checksum(self, path: bytes) -> bytes | None:
        """The checksum of a file in the slot; None if there is none."""

    def is_shared(self, path: bytes) -> bool:
        """Whether an unchanged file of the slot takes no room of its own."""

    def copies(self) -> frozenset[bytes]:
        """Unchanged names that got an inode of their own in this slot."""

    def fetched(self) -> int:
        """Bytes that an interrupted night has brought already, as far as that is known."""

    def discard(self, *, everything: bool) -> bool:
        """Give back the room that an interrupted night, or this one, has taken; False if that cannot be.

        First what had come in part only; `everything`: whole files as well.
        """

    def leave(self) -> None:
        """The run ends before it has changed the slot: write down that the slot is ready, so the next one need not."""

    def pause(self) -> None:
        """The run ends while it fills the slot: have on the device what has come, so that the next may believe it."""

    def publish(self, sealed: Sealed, expiring: Sequence[Decision]) -> Published:
        """Make the slot the newest snapshot, durably, and let the `expiring` snapshots go.

        Retention has decided which these are, by all snapshots that there are (see `retention.expired`). So one that
        could not go, or that a crash has kept, is among them again in the next night.
        """

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Remove published snapshots, as if they had expired. Raises SnapmirrorError."""

    def set_pinned(self, snapshot: Snapshot, pinned: bool) -> Snapshot:
        """Pin a snapshot, so that it does not expire, or let it go."""
