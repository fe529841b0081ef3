"""The protocol of a history: the published snapshots of one mirror, and the few operations on them.

`slot` describes how the next one is made. A store with additional capabilities has an attribute that is not None for
each: `History.healing`, `History.purging`, `Slot.resuming`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from snapmirror.snapshots.names import Tree
    from snapmirror.snapshots.record import Healing, Purge, Snapshot
    from snapmirror.snapshots.slot import Slot

READ_BACK = "read-back.json"
"""The name of that file in the folder of snapmirror's own files."""


class Catalogue(Protocol):
    """The contents of one mirror's history, from its records and manifests: no file of a snapshot is read for it."""

    def snapshots(self) -> list[Snapshot]:
        """The published snapshots, newest first."""

    def tree(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot."""

    def dated(self, snapshot: Snapshot) -> Path:
        """The dated name of that folder, which a rotation does not change: for people and for output."""

    def manifest(self, snapshot: Snapshot) -> Path:
        """The manifest of a snapshot."""

    def checksums(self, sequence: int) -> Path:
        """The checksum file of the snapshot with this number, which may have expired."""

    def read_back(self) -> Path:
        """The file with the progress of reading the contents back, if that was ever begun."""


class History(Catalogue, Protocol):
    """One mirror's history. Every method leaves published snapshots as they are, whenever it is interrupted."""

    @property
    def healing(self) -> SupportsHealing | None:
        """Replaces damaged files by good copies; None if snapshots cannot be written."""

    @property
    def purging(self) -> SupportsPurging | None:
        """Purges names from all snapshots; None if snapshots cannot be changed."""

    @property
    def unfinished(self) -> bool:
        """Whether a dead run has left the folders in disorder, which `recover` mends."""

    def recover(self) -> list[str]:
        """Finish or undo what a dead run has left; return what was done, for people."""

    def next_sequence(self) -> int:
        """The number of the snapshot that would be published next."""

    def mounted(self, snapshot: Snapshot) -> Path:
        """The folder of a snapshot, ready to be read by a run. Raises SnapmirrorError."""

    def slot(self) -> Slot:
        """The slot of one night. Nothing is made or read before it is prepared."""

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Remove published snapshots, as if they had expired. Raises SnapmirrorError."""

    def set_pinned(self, snapshot: Snapshot, pinned: bool) -> Snapshot:
        """Pin a snapshot, so that it does not expire, or unpin it."""


class Place(Struct, frozen=True):
    """A name for a healed file; `snapshot` is None in a tree that is not published."""

    tree: Tree
    path: bytes
    snapshot: str | None


class SupportsHealing(Protocol):
    """Replaces a damaged file by a healed one: one inode, under every name that it has, in every snapshot."""

    def ready(self) -> None:
        """Finish the healing of a run that died in it. Raises SnapmirrorError."""

    @property
    def scratch(self) -> Path:
        """A folder on the store for files that are being made. After a crash the next run removes its content."""

    def new_file(self) -> bytes:
        """The path in `scratch` at which a healed file is made."""

    def private_places(self, paths: Sequence[bytes], damaged: set[int]) -> list[Place]:
        """The names among `paths` that lead to `damaged` inodes in unpublished trees: the next night uses them."""

    def replace(self, healed: bytes, places: Sequence[Place], note: Healing) -> None:
        """Give the file `healed`, complete and flushed, all of these names, and record the note.

        Once this has begun it will be completed, by this run or by the next.
        """


class SupportsPurging(Protocol):
    """Purges names from every snapshot, at an administrator's request."""

    def purge(self, paths: Sequence[bytes], note: Purge) -> None:
        """Remove these names, and everything below them, from all snapshots, and record the note.

        Once this has begun it will be completed, by this run or by the next. Raises StorageError, DamagedManifest.
        """
