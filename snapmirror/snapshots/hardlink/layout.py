"""The places of files in a mirror's folder."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from snapmirror.snapshots import places
from snapmirror.snapshots.history import READ_BACK
from snapmirror.snapshots.staging import PARTIAL, TMP


class HardlinkLayout(Struct, frozen=True):
    """The folder of one mirror and the names in it."""

    root: Path

    @property
    def private(self) -> Path:
        """The folder of snapmirror's own files."""
        return self.root / ".snapmirror"

    @property
    def record(self) -> Path:
        """The record of snapshots."""
        return self.private / "record.json"

    @property
    def slot(self) -> Path:
        """The snapshot that is being built."""
        return self.private / "slot"

    @property
    def parked(self) -> Path:
        """An expired snapshot that waits to be recycled."""
        return self.private / "parked"

    @property
    def staging(self) -> Path:
        """The folder for fetched files, until they are moved into the slot: rsync may write only in here."""
        return self.private / "staging"

    @property
    def scratch(self) -> Path:
        """Files that rsync is receiving."""
        return self.staging / TMP

    @property
    def partial(self) -> Path:
        """Files that rsync has received in part."""
        return self.staging / PARTIAL

    @property
    def names(self) -> Path:
        """The list of names for rsync."""
        return self.private / "names"

    @property
    def healing(self) -> Path:
        """The journal of a file that is being healed."""
        return self.private / "healing.json"

    @property
    def purging(self) -> Path:
        """The journal of names that are being purged from all snapshots."""
        return self.private / "purging.json"

    @property
    def by_date(self) -> Path:
        """Dated names of the snapshots."""
        return self.root / "by-date"

    def backup(self, number: int) -> Path:
        """The folder of a published snapshot."""
        return self.root / f"backup.{number}"

    def manifest(self, snapshot_id: str) -> Path:
        """The manifest of a snapshot."""
        return self.private / "manifests" / f"{snapshot_id}.zst"

    def checksums(self, sequence: int) -> Path:
        """The checksums of the files whose inodes are new in the snapshot with this number."""
        return self.private / "sums" / f"{sequence:07d}.zst"

    def handles(self, sequence: int) -> Path:
        """The handles that spare the next slots looking up the new names of the snapshot with this number."""
        return self.private / "hints" / f"{sequence:07d}.zst"

    def changes(self, sequence: int) -> Path:
        """The differences between the snapshot with this number and the one before."""
        return self.private / "changes" / f"{sequence:07d}.zst"

    @property
    def notes(self) -> tuple[Path, Path]:
        """The folders of notes that spare the next nights reads: see `shortcuts`."""
        return self.private / "hints", self.private / "changes"

    @property
    def _kept(self) -> tuple[Path, ...]:
        """The folders of small files, one of each for each snapshot."""
        return (self.private / "manifests", self.private / "sums", *self.notes)

    def check(self) -> None:
        """Raises ForeignError if a symlink, another device or something else is in one of these places."""
        building = (self.slot, self.parked, self.staging, self.scratch, self.partial)
        files = (self.record, self.names, self.healing, self.purging, self.private / READ_BACK)
        places.check(self.root, self.private, folders=(*self._kept, *building, self.by_date), files=files)

    def make(self) -> None:
        """Create what is missing."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.private.mkdir(exist_ok=True, mode=0o700)
        for folder in (*self._kept, self.staging, self.scratch, self.partial, self.by_date):
            folder.mkdir(exist_ok=True)
