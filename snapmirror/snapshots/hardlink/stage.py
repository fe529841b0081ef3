"""Prepares the staging folder for a plan: files that an interrupted night has fetched, and clones of big files.

If it is not certain that fetched files have reached the device, rsync must compare the contents. Afterwards the slot is
equal to the newest snapshot.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence, Set
from contextlib import suppress
from itertools import count
from pathlib import Path

from snapmirror import files
from snapmirror.snapshots import entry
from snapmirror.snapshots.entry import parent
from snapmirror.snapshots.hardlink import prepare
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.lines import Line, Numbered, is_single_file, unnumbered
from snapmirror.snapshots.names import Tree, remove_tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.staging import WAITING, Wanted, carry, keep, trees
from snapmirror.tools import rsync

_FICLONE = 0x40049409


def stage(
    plan: Plan,
    prepared: prepare.Prepared,
    tree: Path | None,
    layout: HardlinkLayout,
    clone_above: int | None,
    *,
    believed: bool = False,
) -> tuple[set[bytes], set[bytes]]:
    """Make the staging folder; return the names that are ready in it, and those of them that are to be patched.

    `tree` is the newest snapshot's. `believed`: the size and time of files that an interrupted night has fetched can be
    trusted.
    """
    old = trees(layout.staging)
    ready = next(one for number in count() if (one := layout.staging / f"{WAITING}.{number}") not in old)
    ready.mkdir(mode=0o700, parents=True)
    staging = Tree(ready)
    patch: set[bytes] = set()
    kept = _kept(plan, prepared, tree, layout, staging, old)
    if kept and not believed:
        patch = _doubted(plan, kept, staging)
    if tree is not None and clone_above is not None:
        patch |= _cloned(plan, Tree(tree), staging, kept, clone_above)
    for one in old:
        remove_tree(one)
    ready.rename(layout.staging / WAITING)
    return kept | patch, patch


def _cloned(plan: Plan, there: Tree, staging: Tree, kept: Set[bytes], clone_above: int) -> set[bytes]:
    """Clone the old versions of big files; return the names that are to be patched."""
    patch: set[bytes] = set()
    for before, new in plan.transfer:
        assert new is not None
        if _is_patchable(before, new, clone_above):
            path = entry.path_of(new)
            if path not in kept and not _clone(there, staging, path):
                break
            patch.add(path)
    return patch


def _kept(
    plan: Plan,
    prepared: prepare.Prepared,
    tree: Path | None,
    layout: HardlinkLayout,
    staging: Tree,
    old: Sequence[Path],
) -> set[bytes]:
    """Move an interrupted night's wanted files to the staging folder; return their names. All others are removed."""
    if not prepared.leftovers and not prepared.strange_folders and not old:
        return set()
    wanted, here = Wanted(plan), Tree(layout.slot)
    kept: set[bytes] = set()
    for paths in prepared.leftovers.values():  # that night was moving them when it ended
        if wanted.has(paths):
            for path in paths:
                carry(here, staging, path)
            kept.update(paths)
    for paths in prepared.leftovers.values():
        prepare.restore(tree, layout.slot, paths, prepared)
    for path in reversed(prepared.strange_folders):
        here.remove_folder(path)
    kept.update(keep(old, staging, wanted))
    return kept


def _doubted(plan: Plan, kept: set[bytes], staging: Tree) -> set[bytes]:
    """Make rsync compare the content of files of no snapshot, read from the disk: cached data proves nothing.

    After a power cut or a failed write size and time may be right although the content is not. Returns the names.
    """
    for _, new in plan.pairs():
        if new is not None and entry.path_of(new) in kept:
            wanted = entry.parse(new)
            full = staging.at(wanted.path)
            rsync.spoil_time(full, wanted.mtime)
            with suppress(PermissionError), files.reading(full) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return set(kept)


def _is_patchable(old: Numbered | None, new: Line, clone_above: int) -> bool:
    """Whether a big plain file has an old version to patch."""
    if old is None or not is_single_file(new) or not is_single_file(unnumbered(old)):
        return False
    return min(entry.size_of(new), entry.size_of(unnumbered(old))) >= clone_above


def _clone(there: Tree, staging: Tree, path: bytes) -> bool:
    """Make a file that shares the blocks of its old version; False if the file system cannot do that."""
    try:
        source = there.at(path)
    except (FileNotFoundError, NotADirectoryError):
        return True  # nothing to patch: the whole file will be transferred
    staging.make_folder(parent(path))
    target = staging.at(path)
    try:
        with files.reading(source) as old, open(target, "xb") as new:
            fcntl.ioctl(new, _FICLONE, old.fileno())
        return True
    except (FileNotFoundError, files.ForeignError):
        return True
    except OSError as error:
        staging.unlink(path)
        if error.errno in {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}:
            return False
        raise
