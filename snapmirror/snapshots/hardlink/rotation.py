"""Renames the folders when a snapshot is published.

All moves are computed and written into the record before the first is made. Their order leaves every target free at its
move, and each move names the inode of its folder: so moves that a crash has left undone are found and made.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from snapmirror.errors import StorageError
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.record import Move, Snapshot

TRASH = "trash."


def moves(layout: HardlinkLayout, kept: Sequence[Snapshot], expired: Sequence[Snapshot], *, park: bool) -> list[Move]:
    """The moves that remove `expired` and renumber `kept`; both newest first, with their old slots.

    The slot being built is `kept[0]` with slot 0. The newest of the expired is parked if `park`.
    """
    ordered: list[tuple[str, str]] = []
    for position, snapshot in enumerate(expired):
        parks = park and position == 0
        target = layout.parked if parks else layout.private / f"{TRASH}{snapshot.id}"
        ordered.append((f"backup.{snapshot.slot}", str(target.relative_to(layout.root))))
    renumbered = [(snapshot.slot, number) for number, snapshot in enumerate(kept, start=1) if snapshot.slot != number]
    ordered += [(_name(layout, old), _name(layout, new)) for old, new in renumbered if new < old]
    ordered += [(_name(layout, old), _name(layout, new)) for old, new in reversed(renumbered) if new > old]
    return [
        Move(inode=os.lstat(layout.root / source).st_ino, source=source, target=target) for source, target in ordered
    ]


def numbered(kept: Sequence[Snapshot]) -> list[Snapshot]:
    """Snapshots, newest first, with the slots that they have after the rotation."""
    return [one.model_copy(update={"slot": number}) for number, one in enumerate(kept, start=1)]


def _name(layout: HardlinkLayout, number: int) -> str:
    return f"backup.{number}" if number else str(layout.slot.relative_to(layout.root))


def make(layout: HardlinkLayout, todo: Sequence[Move]) -> None:
    """Make the moves that are not made yet. Raises StorageError when a folder is missing."""
    for move in todo:
        source, target = layout.root / move.source, layout.root / move.target
        if _inode(target) == move.inode:
            continue
        if _inode(source) != move.inode:
            raise StorageError(
                f"the snapshot folder {source} is not the one that was to become {target}",
                hint="was something renamed by hand? compare .snapmirror/record.json with the folders",
            )
        _rename(source, target)


def _inode(path: Path) -> int | None:
    with suppress(FileNotFoundError):
        return os.lstat(path).st_ino
    return None


def _rename(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except PermissionError:  # without root, a read-only folder cannot be moved to another parent
        status = os.lstat(source)
        if not stat.S_ISDIR(status.st_mode):
            raise
        os.chmod(source, stat.S_IMODE(status.st_mode) | stat.S_IWUSR)
        os.rename(source, target)
        os.chmod(target, stat.S_IMODE(status.st_mode))


def date(layout: HardlinkLayout, snapshots: Sequence[Snapshot]) -> None:
    """Make the dated names agree with the numbers; each changes atomically, and is never missing."""
    wanted = {snapshot.id: f"../backup.{snapshot.slot}" for snapshot in snapshots}
    for path in layout.by_date.iterdir():
        if path.name not in wanted and path.is_symlink():
            path.unlink()
    for name, target in wanted.items():
        path = layout.by_date / name
        if path.is_symlink() and os.readlink(path) == target:
            continue
        scratch = layout.by_date / f".{name}.new"
        scratch.unlink(missing_ok=True)
        scratch.symlink_to(target)
        os.replace(scratch, path)
