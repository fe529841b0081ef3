"""Applying a plan to a slot that equals the newest snapshot: every planned name is removed from it.

What rsync creates afterwards is new in every case, so no inode of a sealed snapshot is opened or changed. Files that an
interrupted night has fetched stay where they are if they are still wanted; big files are cloned, to be patched.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import join, parent
from snapmirror.snapshots.hardlink import names, slot
from snapmirror.snapshots.manifest import PREFIX
from snapmirror.snapshots.plan import Plan

_FICLONE = 0x40049409


def clear(plan: Plan, prepared: slot.Prepared, tree: Path | None, place: Path, clone_above: int | None) -> set[bytes]:
    """Make the slot ready for the transfer of a plan; return the names that are clones of their old versions."""
    here = os.fsencode(place)
    patch: set[bytes] = set()
    kept = _keep_leftovers(plan, prepared, tree, place)
    gone: list[bytes] = []
    for line in plan.delete:
        before = entry.parse(line[PREFIX:])
        if before.is_directory:
            gone.append(before.path)
        elif before.path not in kept:
            names.unlink(join(here, before.path))
    planned_folders = {entry.parse(new).path for _, new in plan.pairs() if new is not None and new[1:2] == b"d"}
    for path in [*gone, *(path for path in prepared.strange_folders if path not in planned_folders)][::-1]:
        names.remove_folder(join(here, path))
    clones = tree is not None and clone_above is not None
    for old, new in plan.transfer:
        if new is None or new[1:2] == b"d" or (old is None and not prepared.leftovers):
            continue
        path = entry.parse(new).path
        if path in kept:
            if clones and _is_patchable(old, new, clone_above):
                patch.add(path)
            continue
        if old is not None:
            names.unlink(join(here, path))
        if clones and tree is not None and _is_patchable(old, new, clone_above):
            clones = _clone(join(os.fsencode(tree), path), join(here, path))
            if clones:
                patch.add(path)
    for group in plan.groups:
        for old, new in group:
            if new is not None and old is not None and (path := entry.parse(new).path) not in kept:
                names.unlink(join(here, path))
    for (_, new), target in plan.links:
        assert new is not None
        path = entry.parse(new).path
        names.unlink(join(here, path))
        if not os.path.isdir(join(here, parent(path))):
            names.make_folder(join(here, parent(path)))
        if not names.link(join(here, target), join(here, path)):
            prepared.copies.add(path)
    return patch


def settle(plan: Plan, tree: Path, place: Path) -> None:
    """Give folders that are not in the plan, but in which names have changed, the attributes that they have had."""
    planned: set[bytes] = set()
    touched: set[bytes] = set()
    for _, new in [*plan.pairs(), *(pair for pair, _ in plan.links)]:
        assert new is not None
        one = entry.parse(new)
        touched.add(parent(one.path))
        if one.is_directory:
            planned.add(one.path)
    gone = {before.path for before in (entry.parse(line[PREFIX:]) for line in plan.delete)}
    touched.update(map(parent, gone))
    # (a folder that is gone keeps no attributes; what stands in its place may be a symlink of the server's)
    for path in touched - planned - gone:
        names.copy_folder_attributes(os.fsencode(tree), os.fsencode(place), path)


def _is_patchable(old: bytes | None, new: bytes, clone_above: int | None) -> bool:
    """Whether a big plain file has an old version to start from."""
    if old is None or clone_above is None or new[:2] != b">f" or old[PREFIX : PREFIX + 2] != b">f":
        return False
    return min(entry.size_of(new), entry.size_of(old[PREFIX:])) >= clone_above


def _clone(source: bytes, target: bytes) -> bool:
    """A new file that shares the blocks of another; False where the file system cannot do that."""
    try:
        with open(source, "rb") as old, open(target, "xb") as new:
            fcntl.ioctl(new, _FICLONE, old.fileno())
        return True
    except FileNotFoundError:
        return True  # nothing to start from: it will come whole
    except OSError as error:
        with suppress(FileNotFoundError):
            os.unlink(target)
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
