"""Putting a healed file in the place of a damaged one: one inode, under every name that it has, in every snapshot.

Nothing is ever written into the damaged inode, and each name changes by one rename: it leads to the damaged file or to
the healed one, never to nothing. The healed file is on the disk before the first name changes, and so is a journal of
what is to be done, which lets the next run complete it if this one dies on the way.
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
"""So many are remembered."""


class HardlinkHealing:
    """Healing in the history with this record. See `history.SupportsHealing`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._layout = ledger, ledger.layout

    def ready(self) -> None:
        """Complete a healing that was begun; hand other files in the making to the next night, or remove them."""
        self._layout.make()
        self.finish()
        save_interrupted(self._layout)

    @property
    def scratch(self) -> Path:
        """The folder of files that are being received."""
        return self._layout.scratch

    def new_file(self) -> bytes:
        """Where a healed file is made. (What a crash leaves there is removed as all of this folder is.)"""
        return os.fsencode(self.scratch / "heal.new")

    def private_places(self, paths: Sequence[bytes], damaged: set[int]) -> list[Place]:
        """Names of the slot and of the parked snapshot that lead to damaged inodes: the next night builds on them."""
        places = []
        for root in (self._layout.slot, self._layout.parked):
            tree = Tree(root)
            if root.is_dir():
                places += [Place(tree, path, None) for path in paths if tree.inode(path) in damaged]
        return places

    def replace(self, healed: bytes, places: Sequence[Place], note: Healing) -> None:
        """Give the healed file these names, by the journal."""
        with interrupts.deferred():
            begin(self._layout, healed, places, note)
            self.finish()

    def finish(self) -> bool:
        """Heal the file that the journal tells of, and write that down; False if there is no journal."""
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
    """Write down that the file `healed`, complete and flushed, is to have every one of these names. `complete` does it.

    From here on it will be done, by whichever run comes first.
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
    """Do what the journal says, as far as it is not done; return what was healed, None if there is no journal.

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
            with suppress(FileNotFoundError):  # somebody has removed it meanwhile
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
    """Give the healed file one more name; False if it, or the place, is not there any more."""
    if tree.inode(path) == inode:  # (a rename from one name of a file to another does nothing)
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
    """The healing is in the record: let go of its journal and of what it has left."""
    layout.healing.unlink()
    sync(layout.private)
    for path in layout.scratch.glob("heal.*"):
        if path.is_file():
            path.unlink()
