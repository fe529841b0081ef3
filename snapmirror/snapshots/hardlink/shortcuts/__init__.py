"""What spares a night of the hard link store reads and writes. Without it a night is the same night, at a higher price.

 - Lists of changes (`changes`): what has differed between a snapshot and the one before. They tell what to change in an
   expired snapshot's tree, without reading two manifests.
 - Handles (`handles`): the inodes of a night's new names, and the attributes of its folders. They spare the next slots
   to look them up in the newest snapshot's tree.
 - Blocks that a manifest shares with the one before (`manifest.store`): they need not be written.

All of them are files that may be missing or damaged; none is believed where that could do harm. `Shortcuts` is what a
slot knows of them. `NoShortcuts` stands for it in a night that goes the long way: the test of the two compares them.
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
_NIGHTS = 100  # what was noted of older ones is of no use to a slot that differs in so much


class Shortcuts(Protocol):
    """All that a slot asks of them, in the order of a night."""

    def differing(self, expired: str, newest: Snapshot) -> Differing | None:
        """What differs between the expired snapshot of this id and the newest; None if only their manifests tell."""

    def known(self) -> AbstractContextManager[Known]:
        """What is known of new names without a look into the newest tree. The slot is there."""

    def filled(self, plan: Plan) -> None:
        """The slot is filled: note what the next ones will want to know."""

    def store(self, newest: Snapshot | None, sealed: Sealed, plan: Plan | None) -> None:
        """Write the manifest, and note what it changes since that of the `newest` snapshot, which the plan may know."""

    def drop(self, expired: int, published: int) -> None:
        """The snapshot of the number `expired` is the oldest that a slot will be made of, `published` is the newest."""


class FromNotes:
    """The shortcuts of a mirror, by the notes that its nights have left."""

    def __init__(self, layout: HardlinkLayout) -> None:
        self._layout = layout

    def differing(self, expired: str, newest: Snapshot) -> Differing | None:
        """By the nights between the two."""
        return changes.between(self._layout, expired, newest)

    def known(self) -> AbstractContextManager[Known]:
        """By the handles of these nights."""
        return handles.opened(self._layout)

    def filled(self, plan: Plan) -> None:
        """Write down handles of what is new."""
        handles.write(self._layout, plan)

    def store(self, newest: Snapshot | None, sealed: Sealed, plan: Plan | None) -> None:
        """Share what stands in the manifest before, too, and write down the changes."""
        layout = self._layout
        manifest.store(layout.manifest(sealed.snapshot.id), sealed.manifest, self.like(newest, sealed.snapshot))
        changes.write(layout, newest, sealed, plan)

    def like(self, newest: Snapshot | None, snapshot: Snapshot) -> Path | None:
        """The manifest that a new one may share blocks with. Now and then none, so that one that goes bad is not one of
        all manifests, and a manifest's pieces do not come to lie ever further from each other.
        """
        if newest is None or snapshot.full or snapshot.sequence % _OWN_MANIFEST == 0:
            return None
        return self._layout.manifest(newest.id)

    def drop(self, expired: int, published: int) -> None:
        """Drop what was noted of the nights up to the expired one: no slot is older than it."""
        drop_notes(self._layout, max(expired, published - _NIGHTS))


class NoShortcuts:
    """The long way: both manifests are compared, every name is looked up, and a manifest is written as a whole."""

    def __init__(self, layout: HardlinkLayout) -> None:
        self._layout = layout

    def differing(self, expired: str, newest: Snapshot) -> Differing | None:
        """The manifests tell."""
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
    """Drop what was noted of the nights up to the one of this number; of all nights, if it is None."""
    for folder in layout.notes:
        for file in folder.glob("*.zst"):
            if last is None or (file.stem.isdecimal() and int(file.stem) <= last):
                file.unlink()
