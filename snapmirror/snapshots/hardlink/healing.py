"""Replaces a damaged file by a healed one: one inode, under every name that it has, in every snapshot.

Nothing is ever written into the damaged inode, and each name changes by one rename: it leads to the damaged file or to
the healed one, and is never missing. The healed file is on the disk before the first name changes, and so is a journal
of the steps, with which the next run completes the healing if this one dies.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from snapmirror import files, interrupts
from snapmirror.errors import StorageError
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.hardlink.ledger import Ledger
from snapmirror.snapshots.hardlink.scratch import save_interrupted
from snapmirror.snapshots.history import Place
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.record import Healing
from snapmirror.tools import filesystems
from snapmirror.tools.filesystems import sync

_HEALINGS = 1000
"""The number of healings that are remembered."""


class HardlinkHealing:
    """Healing in the history with this record. See `history.SupportsHealing`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._layout = ledger, ledger.layout

    def ready(self) -> None:
        """Complete a healing that was begun; keep other unfinished files for the next night, or remove them."""
        self._layout.make()
        self.finish()
        save_interrupted(self._layout)

    @property
    def scratch(self) -> Path:
        """The folder of files that are being received."""
        return self._layout.scratch

    def new_file(self) -> bytes:
        """The path at which a healed file is made. (After a crash it is removed with everything in this folder.)"""
        return os.fsencode(self.scratch / "heal.new")

    def private_places(self, paths: Sequence[bytes], damaged: set[int]) -> list[Place]:
        """Names of the slot and of the parked snapshot that lead to damaged inodes: the next night uses them."""
        places = []
        for root in (self._layout.slot, self._layout.parked):
            tree = Tree(root)
            if root.is_dir():
                places += [Place(tree, path, None) for path in paths if tree.inode(path) in damaged]
        return places

    def replace(self, healed: bytes, places: Sequence[Place], note: Healing) -> None:
        """Give the healed file these names, using the journal."""
        with interrupts.deferred():
            begin(self._layout, healed, places, note)
            self.finish()

    def finish(self) -> bool:
        """Heal the file in the journal, and record that; False if there is no journal."""
        note, record = complete(self._layout), self._ledger.record
        if note is None:
            return False
        if note.snapshots and note not in record.healed:
            record.healed = [*record.healed, note][-_HEALINGS:]
            record.snapshots = [
                one.model_copy(update={"healed": one.healed + note.snapshots.get(one.id, 0)})
                for one in record.snapshots
            ]
            self._ledger.save()
        forget(self._layout)
        return True


def begin(layout: HardlinkLayout, healed: bytes, places: Sequence[Place], note: Healing) -> None:
    """Write the journal: the file `healed`, complete and flushed, is to get all of these names. `complete` does it.

    From here on it will be done, by this run or the next.
    """
    root = os.fsencode(layout.root)
    folders = {os.path.dirname(place.tree.at(place.path)) for place in places}
    statuses = {os.path.relpath(folder, root): os.lstat(folder) for folder in folders}
    journal = {
        "healed": _text(os.path.relpath(healed, root)),
        "inode": os.lstat(healed).st_ino,
        "names": [(place.snapshot, _text(os.path.relpath(place.tree.at(place.path), root))) for place in places],
        "folders": [
            (_text(folder), stat.S_IMODE(status.st_mode), status.st_atime_ns, status.st_mtime_ns)
            for folder, status in statuses.items()
        ],
        "note": note.model_dump(),
    }
    scratch = layout.scratch / "heal.journal"
    files.write(scratch, json.dumps(journal).encode("ascii"))
    sync(scratch)
    sync(layout.scratch)
    scratch.replace(layout.healing)
    sync(layout.private)


def _text(path: bytes) -> str:
    return base64.b64encode(path).decode("ascii")


def complete(layout: HardlinkLayout) -> Healing | None:
    """Do the steps of the journal that are not done; return what was healed, None if there is no journal.

    Raises StorageError for a damaged one.
    """
    tree = Tree(layout.root)
    counts: dict[str, int] = {}
    try:
        journal = json.loads(files.read(layout.healing))
        healed, inode = tree.at(base64.b64decode(journal["healed"])), int(journal["inode"])
        for snapshot, text in journal["names"]:
            if _is_given(layout, tree, healed, inode, base64.b64decode(text)) and snapshot is not None:
                counts[snapshot] = counts.get(snapshot, 0) + 1
        for text, mode, atime, mtime in journal["folders"]:
            with suppress(FileNotFoundError):  # it was removed meanwhile
                path = base64.b64decode(text)
                folder = tree.at(path)
                if tree.is_folder(path) and stat.S_IMODE(os.lstat(folder).st_mode) != mode:
                    os.chmod(folder, mode)
                os.utime(folder, ns=(atime, mtime), follow_symlinks=False)
        note = Healing.model_validate({**journal["note"], "snapshots": counts})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise StorageError(
            f"the journal {layout.healing} is damaged: {str(error).splitlines()[0]}",
            hint="remove it; 'snapmirror verify' tells whether a folder has a wrong time now",
        ) from error
    filesystems.flush(layout.root)
    return note


def _is_given(layout: HardlinkLayout, tree: Tree, healed: bytes, inode: int, path: bytes) -> bool:
    """Give the healed file another name; False if the file, or the place, does not exist any more."""
    if tree.inode(path) == inode:  # (renaming one name of a file to another one does nothing)
        return True
    with suppress(FileNotFoundError):
        scratch = os.fsencode((layout.scratch / "heal.link").relative_to(layout.root))
        tree.unlink(scratch)
        if os.lstat(healed).st_ino != inode:
            return False
        if not tree.link(healed, scratch):
            sync(tree.at(scratch))
        tree.replace(tree.at(scratch), path)
        return True
    return False


def forget(layout: HardlinkLayout) -> None:
    """The healing is in the record: remove its journal and its leftovers."""
    layout.healing.unlink()
    sync(layout.private)
    for path in layout.scratch.glob("heal.*"):
        if path.is_file():
            path.unlink()
