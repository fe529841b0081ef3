"""Prepares the staging folder for a plan: files to be updated are moved there, to be patched in place.

rsync then writes only the blocks that differ, and all others stay shared with the snapshots. A file is moved only if
all names of its inode are planned: writing into an inode that an unplanned name shares would change that name too.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from snapmirror import environment
from snapmirror.errors import StorageError
from snapmirror.process import ProgramFailed, run
from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import Entry
from snapmirror.snapshots.lines import unnumbered
from snapmirror.snapshots.names import Tree, remove_tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.staging import WAITING, carry, names, trees
from snapmirror.snapshots.zfs.survey import Survey
from snapmirror.tools import rsync


def stage(plan: Plan, found: Survey, tree: Path | None, slot: Path, staging: Path, began: int) -> set[bytes]:
    """Make the staging folder; return the names that are ready in it.

    `began`: the time when the interrupted night began to write, in ns.
    """
    remove_tree(staging)
    (staging / WAITING).mkdir(mode=0o700, parents=True)
    here, there = Tree(slot), Tree(staging / WAITING)
    ready: set[bytes] = set()
    restore = [] if found.is_clean else _sort_out(plan, found, here, Tree(tree) if tree else None)
    for _, new in plan.transfer:
        assert new is not None
        ready |= _take_out([entry.parse(new)], here, there, found, began)
    for group in plan.groups:
        ready |= _take_out([entry.parse(new) for _, new in group if new is not None], here, there, found, began)
    if tree is not None and restore:
        _unlink_others(restore, here, Tree(tree))
        put_back(restore, tree, slot)
    return ready


def unstage(staging: Path, slot: Path, began: int) -> None:
    """Move files that an interrupted night has taken out of the slot, or fetched, back into it, for the survey."""
    here = Tree(slot)
    for tree in trees(staging):
        there = Tree(tree)
        for path, is_folder in list(names(tree)):
            if is_folder:
                continue
            full = there.at(path)
            status = os.lstat(full)
            if status.st_mtime_ns == status.st_ctime_ns and stat.S_ISREG(status.st_mode):
                # moving it changes the ctime: let the mtime show that it may be cut
                os.utime(full, ns=(status.st_atime_ns, max(status.st_mtime_ns, began)))
            carry(there, here, path)
    remove_tree(staging)


def _sort_out(plan: Plan, found: Survey, here: Tree, there: Tree | None) -> list[bytes]:
    """Remove leftovers that are not planned; return the names that must be restored from the snapshot."""
    planned = {entry.parse(new).path for _, new in plan.pairs() if new is not None}
    planned.update(entry.parse(new).path for (_, new), _ in plan.links if new is not None)
    for path in reversed(found.strange_folders):
        if path not in planned:
            here.remove_folder(path)
    deleted = {entry.parse(unnumbered(line)).path for line in plan.delete}
    restore = [path for path in found.missing if path not in planned and path not in deleted]
    for path in found.strangers:
        if path in planned or path in deleted:
            continue
        if there is not None and there.inode(path) is not None:
            restore.append(path)
        else:
            here.unlink(path)
    return restore


def _take_out(unit: list[Entry], here: Tree, there: Tree, found: Survey, began: int) -> set[bytes]:
    """Move one planned file, or one group of names of a file, if it can be updated in place; return the moved names."""
    moved: set[bytes] = set()
    if unit[0].is_directory:
        return moved
    standing: dict[bytes, os.stat_result] = {}
    for one in unit:
        with suppress(FileNotFoundError, NotADirectoryError):
            standing[one.path] = os.lstat(here.at(one.path))
    counts = Counter(status.st_ino for status in standing.values())
    for one in unit:
        status = standing.get(one.path)
        if status is None or one.kind != b"f" or not stat.S_ISREG(status.st_mode):
            continue
        if counts[status.st_ino] == status.st_nlink:
            if one.path in found.strangers and _may_be_cut(status, began):
                rsync.spoil_time(here.at(one.path), one.mtime)
            carry(here, there, one.path)
            moved.add(one.path)
    return moved


def _may_be_cut(status: os.stat_result, began: int) -> bool:
    """Whether rsync may have been stopped in the middle of this file: it sets the time of a file when it is complete.

    Until then the time is that of the last write, which also is the time of the last change.
    """
    return status.st_mtime_ns >= began or status.st_mtime_ns == status.st_ctime_ns


def _unlink_others(paths: Iterable[bytes], here: Tree, there: Tree) -> None:
    """Remove names with another inode than in the snapshot: writing into it could change a wanted file."""
    for path in paths:
        if here.inode(path) != there.inode(path):
            here.unlink(path)


def put_back(paths: Iterable[bytes], tree: Path, slot: Path) -> None:
    """Give names in the slot their state in the snapshot. The caller restores their folders."""
    with environment.temporary_file() as names:
        names.writelines(b"./" + path + b"\0" for path in paths)
        names.seek(0)
        try:
            run(rsync.put_back_argv(tree, slot), stdin=names)
        except ProgramFailed as failed:
            raise StorageError(
                f"{slot} could not be put right: {failed.completed.complaint}", hint="the kernel's log (dmesg) says why"
            ) from failed
