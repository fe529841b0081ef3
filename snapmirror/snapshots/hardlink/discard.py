"""Frees the space that an interrupted night has taken, when there is too little of it for the next one."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from snapmirror.snapshots.hardlink import prepare
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.names import Tree


def discard(layout: HardlinkLayout, newest: Path | None) -> prepare.Prepared:
    """Remove everything from the slot that does not belong to the newest snapshot (`newest`: its tree)."""
    found = prepare.repaired(newest, layout.slot, Event())
    for paths in found.leftovers.values():
        prepare.restore(newest, layout.slot, paths, found)
    here = Tree(layout.slot)
    for folder in reversed(found.strange_folders):
        here.remove_folder(folder)
    if newest is not None:
        for folder in sorted(set(found.touched) - set(found.strange_folders)):
            here.copy_attributes(Tree(newest), folder)
    return prepare.Prepared(copies=found.copies, lost=found.lost)
