"""What a history is: the snapshots of one mirror that are published, and the few things that are asked of them.

How the next one is made is `slot`'s. A store that can do more than every store says so by an attribute that is not
None: `History.healing`, `History.purging`, `Slot.resuming`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from snapmirror.snapshots.names import Tree
    from snapmirror.snapshots.record import Healing, Purge, Snapshot
    from snapmirror.snapshots.slot import Slot

READ_BACK = "read-back.json"
"""The name of that file, among what is snapmirror's own."""


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


class History(Catalogue, Protocol):
    """One mirror's history. Every method leaves published snapshots as they are, whenever it is interrupted."""

    @property
    def healing(self) -> SupportsHealing | None:
        """Puts good copies in the place of damaged files; None where snapshots cannot be written."""

    @property
    def purging(self) -> SupportsPurging | None:
        """Takes names out of all snapshots; None where snapshots cannot be changed."""

    @property
    def unfinished(self) -> bool:
        """Whether a dead run has left the folders in disorder, which `recover` mends."""

    def recover(self) -> list[str]:
        """Finish or undo what a dead run has left; say what was done."""

    def next_sequence(self) -> int:
        """The number of the snapshot that would be published next."""

    def mounted(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot, ready to be read by a run. Raises SnapmirrorError."""

    def slot(self) -> Slot:
        """The slot of one night. Nothing is made, or looked at, before it is prepared."""

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Remove published snapshots, as if they had expired. Raises SnapmirrorError."""

    def set_pinned(self, snapshot: Snapshot, pinned: bool) -> Snapshot:
        """Pin a snapshot, so that it does not expire, or let it go."""


@dataclass(frozen=True)
class Place:
    """A name to be given to a healed file; `snapshot` is None in a tree that is not published."""

    tree: Tree
    path: bytes
    snapshot: str | None


class SupportsHealing(Protocol):
    """Puts a healed file in the place of a damaged one: one inode, under every name that it has, in every snapshot."""

    def ready(self) -> None:
        """Finish what a run that died while it was healing has left. Raises SnapmirrorError."""

    @property
    def scratch(self) -> Path:
        """A folder on the store for files that are being made. What a crash leaves in it the next run removes."""

    def new_file(self) -> bytes:
        """Where a healed file is made, in `scratch`."""

    def private_places(self, paths: Sequence[bytes], damaged: set[int]) -> list[Place]:
        """The names out of `paths` that lead to `damaged` inodes in trees that are not published: the next night builds
        on them.
        """

    def replace(self, healed: bytes, places: Sequence[Place], note: Healing) -> None:
        """Give the file `healed`, complete and flushed, every one of these names, and write the note down.

        Once this has begun it will be completed, by this run or by the next.
        """


class SupportsPurging(Protocol):
    """Takes names out of every snapshot, because an administrator asks for it."""

    def purge(self, paths: Sequence[bytes], note: Purge) -> None:
        """Take these names, and what lies below them, out of all snapshots, and write the note down.

        Once this has begun it will be completed, by this run or by the next. Raises StorageError, DamagedManifest.
        """
