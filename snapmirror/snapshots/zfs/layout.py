"""The places of files in a mirror's folder.

    <store>/<mirror>/current/                 the mirror's dataset
    <store>/<mirror>/current/tree/            the slot, as the last night has left it
    <store>/<mirror>/current/staging/         files that a night is fetching; removed before a snapshot is taken
    <store>/<mirror>/by-date/<id>          -> ../current/.zfs/snapshot/<id>/tree
    <store>/<mirror>/.snapmirror/             manifests and checksums, in the store's own dataset

The tree is a folder inside the dataset, not its root: the server chooses the names in it, and in the root of a dataset
the name `.zfs` leads to its snapshots. Manifests are beside the dataset, not in it: so a name is looked up in all
snapshots without mounting any, and a manifest is written, or dropped, without changing the dataset.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from snapmirror.snapshots import places
from snapmirror.snapshots.history import READ_BACK


class ZfsLayout(Struct, frozen=True):
    """The folder of one mirror and the names in it."""

    root: Path

    @property
    def private(self) -> Path:
        """The folder of snapmirror's own files."""
        return self.root / ".snapmirror"

    @property
    def current(self) -> Path:
        """The mount point of the dataset."""
        return self.root / "current"

    @property
    def slot(self) -> Path:
        """The tree that the next night changes."""
        return self.current / "tree"

    @property
    def staging(self) -> Path:
        """The folder for fetched files until they are moved to the slot: in the same dataset, so moving is renaming."""
        return self.current / "staging"

    def tree(self, snapshot_id: str) -> Path:
        """The tree of a snapshot."""
        return self.current / ".zfs" / "snapshot" / snapshot_id / "tree"

    @property
    def by_date(self) -> Path:
        """Dated names of the snapshots."""
        return self.root / "by-date"

    @property
    def manifests(self) -> Path:
        """The folder of manifests."""
        return self.private / "manifests"

    @property
    def sums(self) -> Path:
        """The folder of checksum files."""
        return self.private / "sums"

    def manifest(self, snapshot_id: str) -> Path:
        """The manifest of a snapshot."""
        return self.manifests / f"{snapshot_id}.zst"

    def checksums(self, sequence: int) -> Path:
        """The checksums of the files that are new, or have changed, in the snapshot with this number."""
        return self.sums / f"{sequence:07d}.zst"

    @property
    def scratch(self) -> Path:
        """Stays empty: files are received in place."""
        return self.private / "tmp"

    @property
    def names(self) -> Path:
        """The list of names for rsync."""
        return self.private / "names"

    @property
    def began(self) -> Path:
        """Exists while the slot differs from the newest snapshot: its time is the start of the first change."""
        return self.private / "began"

    def check(self) -> None:
        """Raises ForeignError if a symlink, another device or something else is in one of these places."""
        folders = (self.manifests, self.sums, self.scratch, self.by_date)
        places.check(self.root, self.private, folders=folders, files=(self.names, self.began, self.private / READ_BACK))
        places.check_folder(self.current)  # (it is a device of its own)
        if self.current.is_dir():
            places.check_folder(self.slot, self.current.stat().st_dev)

    def make(self) -> None:
        """Create what is missing, except the dataset's own folder."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.private.mkdir(exist_ok=True, mode=0o700)
        for folder in (self.manifests, self.sums, self.scratch, self.by_date):
            folder.mkdir(exist_ok=True)
