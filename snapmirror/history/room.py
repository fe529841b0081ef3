"""How much room a plan takes on the store. A sparse file takes less than its size, and the listing has only sizes.

Used only if the sizes alone are too much: it checks each large file of the plan. Runs no program.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from snapmirror import files
from snapmirror.config import MirrorConfig
from snapmirror.errors import DamageError
from snapmirror.snapshots.entry import parse, size_of
from snapmirror.snapshots.freed import Freed
from snapmirror.snapshots.history import History
from snapmirror.snapshots.lines import holds_file, is_file, is_link
from snapmirror.snapshots.merge import Pair
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan, classify
from snapmirror.storage.open_store import OpenStore
from snapmirror.tools import extents

_SMALL = 1 << 20
_MOST_SPARSE = 1 << 44
"""The largest file on ext4. No real file, such as a sparse lastlog, is larger; one that is would never end."""


def to_come(mirror: MirrorConfig, plan: Plan, history: History, store: OpenStore, *, trusting: bool) -> int:
    """The bytes that are known to be needed.

    A file that looks like one that was moved needs none, if the store links these. A file of a local source is
    measured. A file with an old version in the newest snapshot counts as sparse as that. A new file from a server that
    is larger than the whole store counts as sparse: otherwise it could never be stored; `trusting` counts every new
    file as sparse. The room that they really take is watched during the transfer.
    """
    snapshots, whole = history.snapshots(), store.whole_bytes()
    newest = history.tree(snapshots[0]) if snapshots else None
    # where snapshots are plain folders; in a slot that is changed in place nothing is linked
    freed = Freed(plan) if newest is not None and history.healing is not None else None
    asked = [*plan.transfer, *map(_leader, plan.groups)]
    return sum(
        _takes(mirror, pair, newest, whole, trusting=trusting)
        for pair in asked
        if not (freed and pair[1] is not None and freed.take(pair[1]) is not None)
    )


def _leader(group: Sequence[Pair]) -> Pair:
    """The pair of the name that leads a hard link group."""
    return next((pair for pair in group if pair[1] is not None and not is_link(pair[1])), group[0])


def _takes(mirror: MirrorConfig, pair: Pair, newest: Path | None, whole: int, *, trusting: bool) -> int:
    old, new = pair
    if new is None or not is_file(new) or classify(old, new) == "attributes":
        return 0
    size = size_of(new)
    if size < _SMALL:
        return size
    path = parse(new).path
    if mirror.source.kind == "local":
        seen = _seen(Path(mirror.source.path), path)
        return size if seen is None else min(size, seen[0])
    if newest is not None and old is not None and holds_file(old):
        seen = _seen(newest, path)
        if seen is not None and seen[1]:
            return min(size, seen[0] * size // seen[1])
    return 0 if size <= _MOST_SPARSE and (trusting or size > whole) else size


def _seen(root: Path, path: bytes) -> tuple[int, int] | None:
    """The room that a file takes, and its size."""
    with suppress(OSError, DamageError):
        status = os.lstat(Tree(root).at(path))
        return status.st_blocks * 512, status.st_size
    return None


def shared_bytes(slot: Path, patched: Iterable[bytes], least: int) -> int:
    """How much of the patched files is shared with their earlier versions; 0 if that is unknown.

    This flushes each file: so it reads no other file, and none smaller than `least`, which was not a clone.
    """
    tree, shared = Tree(slot), 0
    for path in patched:
        with suppress(OSError, DamageError, files.ForeignError), files.reading(tree.at(path)) as file:
            if os.fstat(file.fileno()).st_size >= least:
                shared += extents.shared_bytes(file.fileno())
    return shared


def taken(file: bytes, size: int) -> int:
    """The room that a file of this size takes if holes stay holes: of a compressed one (ZFS) all that is not a hole."""
    if size < _SMALL:
        return size
    try:
        if os.lstat(file).st_blocks * 512 >= size:
            return size
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return size
    data = at = 0
    try:
        while at < size:
            first = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, first, os.SEEK_HOLE)
            data += at - first
    except OSError:  # ENXIO: the rest is a hole
        pass
    finally:
        os.close(descriptor)
    return min(data, size)
