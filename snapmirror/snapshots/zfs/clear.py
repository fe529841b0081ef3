"""Applying a plan to the slot, in place: what is planned for deletion goes, a file that is to be updated stays.

rsync then writes only the blocks that differ, and all others stay shared with the snapshots. A file stays only if
nobody but the plan has a name of its inode: writing into one that an unplanned name shares would change that one too.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from snapmirror.errors import StorageError
from snapmirror.process import ProgramFailed, run
from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import Entry, parent
from snapmirror.snapshots.manifest import PREFIX
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.zfs.survey import Survey
from snapmirror.tools import rsync


def clear(plan: Plan, found: Survey, tree: Path | None, slot: Path, began: int) -> None:
    """Make the slot ready for the transfer of a plan. `began`: when the interrupted night began to write, in ns."""
    here = Tree(slot)
    gone: list[bytes] = []
    for line in plan.delete:
        before = entry.parse(line[PREFIX:])
        if before.is_directory:
            gone.append(before.path)
        else:
            here.unlink(before.path)
    for path in reversed(gone):
        here.remove_folder(path)
    restore = [] if found.is_clean else _sort_out(plan, found, here, Tree(tree) if tree else None)
    for _, new in plan.transfer:
        assert new is not None
        _give_way([entry.parse(new)], here, found, began)
    for group in plan.groups:
        _give_way([entry.parse(new) for _, new in group if new is not None], here, found, began)
    if tree is not None and restore:
        _unlink_others(restore, here, Tree(tree))
        put_back(restore, tree, slot)
    for (_, new), target in plan.links:
        assert new is not None
        path = entry.parse(new).path
        here.make_folder(parent(path))
        here.unlink(path)
        here.link(here.at(target), path)


def _sort_out(plan: Plan, found: Survey, here: Tree, there: Tree | None) -> list[bytes]:
    """Remove leftovers that nobody wants; return the names that must get back what the snapshot has."""
    planned = {entry.parse(new).path for _, new in plan.pairs() if new is not None}
    planned.update(entry.parse(new).path for (_, new), _ in plan.links if new is not None)
    for path in reversed(found.strange_folders):
        if path not in planned:
            here.remove_folder(path)
    deleted = {entry.parse(line[PREFIX:]).path for line in plan.delete}
    restore = [path for path in found.missing if path not in planned and path not in deleted]
    for path in found.strangers:
        if path in planned or path in deleted:
            continue
        if there is not None and there.inode(path) is not None:
            restore.append(path)
        else:
            here.unlink(path)
    return restore


def _give_way(unit: list[Entry], here: Tree, found: Survey, began: int) -> None:
    """Prepare one planned file, or one group of names of a file: what cannot be updated in place is removed."""
    if unit[0].is_directory:
        if not here.is_folder(unit[0].path):
            here.unlink(unit[0].path)
        return
    standing: dict[bytes, os.stat_result] = {}
    for one in unit:
        with suppress(FileNotFoundError, NotADirectoryError):
            standing[one.path] = os.lstat(here.at(one.path))
    names = Counter(status.st_ino for status in standing.values())
    for one in unit:
        status = standing.get(one.path)
        if status is None:
            continue
        if one.kind != b"f" or not stat.S_ISREG(status.st_mode) or names[status.st_ino] != status.st_nlink:
            here.unlink(one.path)
        elif one.path in found.strangers and _may_be_cut(status, began):
            rsync.spoil_time(here.at(one.path), one.mtime)


def _may_be_cut(status: os.stat_result, began: int) -> bool:
    """Whether rsync may have been stopped in the middle of this file: it sets the time of a file when it is whole.

    Until then it is the time of the last write, which also is the time of the last change.
    """
    return status.st_mtime_ns >= began or status.st_mtime_ns == status.st_ctime_ns


def _unlink_others(paths: Iterable[bytes], here: Tree, there: Tree) -> None:
    """Remove names that stand for another inode than in the snapshot: writing into it could change a wanted file."""
    for path in paths:
        if here.inode(path) != there.inode(path):
            here.unlink(path)


def put_back(paths: Iterable[bytes], tree: Path, slot: Path) -> None:
    """Give names in the slot the state they have in the snapshot. The folders that they lie in are the caller's."""
    with tempfile.TemporaryFile() as names:
        names.writelines(b"./" + path + b"\0" for path in paths)
        names.seek(0)
        try:
            run(rsync.put_back_argv(tree, slot), stdin=names)
        except ProgramFailed as failed:
            raise StorageError(
                f"{slot} could not be put right: {failed.completed.complaint}", hint="the kernel's log (dmesg) says why"
            ) from failed
