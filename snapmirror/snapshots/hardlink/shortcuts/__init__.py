"""Notes that spare a night of the hard link store reads and writes. Without them the result is the same, but slower.

 - Lists of changes (`changes`): the differences between a snapshot and the one before. They show what to change in an
   expired snapshot's tree, without reading two manifests.
 - Handles (`handles`): the inodes of a night's new names, and the attributes of its folders. They spare the next slots
   looking them up in the newest snapshot's tree.
 - Blocks that a manifest shares with the one before (`manifest.store`): they need not be written.

All of them are files that may be missing or damaged; none is trusted where that could do harm. A slot uses them through
`Shortcuts`. `NoShortcuts` replaces them in a night without: a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from snapmirror import files
from snapmirror.snapshots import manifest
from snapmirror.snapshots.entry import Entry
from snapmirror.snapshots.hardlink.differing import Differing
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.hardlink.prepare import Known
from snapmirror.snapshots.hardlink.shortcuts import changes, handles
from snapmirror.snapshots.names import FolderAttributes, Tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.slot import Sealed

_OWN_MANIFEST = 16  # nights
_NIGHTS = 100  # older notes are useless for a slot that differs in so much


class Shortcuts(Protocol):
    """The interface for a slot, in the order of a night."""

    def differing(self, expired: str, newest: Snapshot) -> Differing | None:
        """The differences between the expired snapshot of this id and the newest; None if only manifests show them."""

    def known(self) -> AbstractContextManager[Known]:
        """The facts about new names known without reading the newest tree. The slot exists."""

    def filled(self, plan: Plan) -> None:
        """The slot is filled: note what the next slots will need."""

    def store(self, newest: Snapshot | None, sealed: Sealed, plan: Plan | None) -> None:
        """Write the manifest, and note its changes since that of the `newest` snapshot, which the plan may know."""

    def drop(self, expired: int, published: int) -> None:
        """The snapshot number `expired` is the oldest from which a slot will be made, `published` is the newest."""


class FromNotes:
    """The shortcuts of a mirror, from the notes of its nights."""

    def __init__(self, layout: HardlinkLayout) -> None:
        self._layout = layout

    def differing(self, expired: str, newest: Snapshot) -> Differing | None:
        """From the notes of the nights between the two."""
        return changes.between(self._layout, expired, newest)

    def known(self) -> AbstractContextManager[Known]:
        """From the handles of these nights."""
        return handles.opened(self._layout)

    def filled(self, plan: Plan) -> None:
        """Write the handles of new names."""
        handles.write(self._layout, plan)

    def store(self, newest: Snapshot | None, sealed: Sealed, plan: Plan | None) -> None:
        """Share the blocks that the manifest before has as well, and write the changes."""
        layout = self._layout
        manifest.store(layout.manifest(sealed.snapshot.id), sealed.manifest, self.like(newest, sealed.snapshot))
        changes.write(layout, newest, sealed, plan)

    def like(self, newest: Snapshot | None, snapshot: Snapshot) -> Path | None:
        """The manifest with which a new one may share blocks. Now and then none, so that a bad block does not belong to
        all manifests, and the pieces of a manifest are not scattered more and more.
        """
        if newest is None or snapshot.full or snapshot.sequence % _OWN_MANIFEST == 0:
            return None
        return self._layout.manifest(newest.id)

    def drop(self, expired: int, published: int) -> None:
        """Drop the notes of the nights up to the expired one: no slot is older."""
        drop_notes(self._layout, max(expired, published - _NIGHTS))


class NoShortcuts:
    """No shortcuts: both manifests are compared, every name is looked up, and a manifest is written as a whole."""

    def __init__(self, layout: HardlinkLayout) -> None:
        self._layout = layout

    def differing(self, expired: str, newest: Snapshot) -> Differing | None:
        """None: the manifests are compared."""
        return None

    @contextmanager
    def known(self) -> Iterator[Known]:
        """Nothing."""
        yield _NothingKnown()

    def filled(self, plan: Plan) -> None:
        """Nothing is noted."""

    def store(self, newest: Snapshot | None, sealed: Sealed, plan: Plan | None) -> None:
        """Write the manifest."""
        files.write(self._layout.manifest(sealed.snapshot.id), sealed.manifest)

    def drop(self, expired: int, published: int) -> None:
        """Nothing was noted."""


class _NothingKnown:
    def folder(self, number: int, wanted: Entry) -> FolderAttributes | None:
        return None

    def link(self, number: int, wanted: Entry, slot: Tree) -> bool:
        return False


def drop_notes(layout: HardlinkLayout, last: int | None = None) -> None:
    """Drop the notes of the nights up to the one of this number; of all nights, if it is None."""
    for folder in layout.notes:
        for file in folder.glob("*.zst"):
            if last is None or (file.stem.isdecimal() and int(file.stem) <= last):
                file.unlink()
