"""Applying a plan to a slot that equals the newest snapshot: every planned name is removed from it.

What rsync creates afterwards is new in every case, so no inode of a sealed snapshot is opened or changed. Files that an
interrupted night has fetched stay where they are if they are still wanted; big files are cloned, to be patched. Where
it is not sure that what was fetched has reached the device, rsync is made to compare the contents.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import parent
from snapmirror.snapshots.hardlink import slot
from snapmirror.snapshots.manifest import PREFIX
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan
from snapmirror.tools import rsync

_FICLONE = 0x40049409


def clear(
    plan: Plan,
    prepared: slot.Prepared,
    tree: Path | None,
    place: Path,
    clone_above: int | None,
    *,
    believed: bool = False,
) -> set[bytes]:
    """Make the slot ready for the transfer of a plan; return the names that are to be patched where they stand.

    `believed`: what an interrupted night has fetched is as whole as its size and time say.

    Every planned name that is no folder is removed, whether the manifest knows of an old one or not: that no sealed
    inode is touched must not hang on a manifest.
    """
    here, there = Tree(place), Tree(tree) if tree else None
    patch: set[bytes] = set()
    kept = _keep_leftovers(plan, prepared, tree, place)

    def make_way(wanted: entry.Entry) -> None:
        if wanted.path not in kept:
            here.unlink(wanted.path)
        elif not believed:
            _doubt(wanted, here)
            patch.add(wanted.path)

    gone: list[bytes] = []
    for line in plan.delete:
        before = entry.parse(line[PREFIX:])
        if before.is_directory:
            gone.append(before.path)
        elif before.path not in kept:
            here.unlink(before.path)
    planned_folders = {entry.parse(new).path for _, new in plan.pairs() if new is not None and new[1:2] == b"d"}
    strange = [path for path in prepared.strange_folders if path not in planned_folders]
    for path in [*gone, *strange][::-1]:
        here.remove_folder(path)
    if there is None and not prepared.leftovers:
        return patch  # an empty slot
    clones = there is not None and clone_above is not None
    for old, new in plan.transfer:
        assert new is not None
        wanted = entry.parse(new)
        path = wanted.path
        if new[1:2] == b"d":
            if not here.is_folder(path):
                here.unlink(path)
            continue
        make_way(wanted)
        if clones and there is not None and _is_patchable(old, new, clone_above):
            clones = path in kept or _clone(there, here, path)
            if clones:
                patch.add(path)
    for group in plan.groups:
        for _, new in group:
            assert new is not None
            make_way(entry.parse(new))
    for (_, new), target in plan.links:
        assert new is not None
        path = entry.parse(new).path
        here.make_folder(parent(path))
        here.unlink(path)
        if not here.link(here.at(target), path):
            prepared.copies.add(path)
    return patch


def _doubt(wanted: entry.Entry, here: Tree) -> None:
    """Let rsync compare what is in a file of no snapshot, and that from the disk: memory proves nothing.

    After a power cut or a failed write its size and time may be right where its content is not.
    """
    full = here.at(wanted.path)
    rsync.spoil_time(full, wanted.mtime)
    with suppress(PermissionError), open(full, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _is_patchable(old: bytes | None, new: bytes, clone_above: int | None) -> bool:
    """Whether a big plain file has an old version to start from."""
    if old is None or clone_above is None or new[:2] != b">f" or old[PREFIX : PREFIX + 2] != b">f":
        return False
    return min(entry.size_of(new), entry.size_of(old[PREFIX:])) >= clone_above


def _clone(there: Tree, here: Tree, path: bytes) -> bool:
    """A new file that shares the blocks of its old version; False where the file system cannot do that."""
    try:
        source, target = there.at(path), here.at(path)
    except (FileNotFoundError, NotADirectoryError):
        return True  # nothing to start from: it will come whole
    try:
        with open(source, "rb") as old, open(target, "xb") as new:
            fcntl.ioctl(new, _FICLONE, old.fileno())
        return True
    except FileNotFoundError:
        return True
    except OSError as error:
        here.unlink(path)
        if error.errno in {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}:
            return False
        raise


def _keep_leftovers(plan: Plan, prepared: slot.Prepared, tree: Path | None, place: Path) -> set[bytes]:
    """The names of an interrupted night's files that stay for rsync to go on with; all others are put right.

    A file with one name stays if that name is asked for on its own, one with several if just these are asked for as
    one group.
    """
    if not prepared.leftovers:
        return set()
    single = {entry.parse(new).path for _, new in plan.transfer if new is not None and new[:2] == b">f"}
    groups = {frozenset(entry.parse(new).path for _, new in group if new is not None) for group in plan.groups}
    kept: set[bytes] = set()
    for paths in prepared.leftovers.values():
        if (len(paths) == 1 and paths[0] in single) or (len(paths) > 1 and frozenset(paths) in groups):
            kept.update(paths)
        else:
            slot.restore(tree, place, paths, prepared)
    return kept
