"""How much room a plan takes on the store. A sparse file takes less than its size, and the listing tells only sizes.

Asked only where the sizes alone are too much: it looks at each large file of the plan. Runs no program.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from snapmirror import files
from snapmirror.config import MirrorConfig
from snapmirror.errors import DamageError
from snapmirror.snapshots.entry import parse, size_of
from snapmirror.snapshots.history import Catalogue
from snapmirror.snapshots.manifest import PREFIX
from snapmirror.snapshots.merge import Pair
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan, classify
from snapmirror.storage.open_store import OpenStore
from snapmirror.tools import extents

_SMALL = 1 << 20
_MOST_SPARSE = 1 << 44
"""The largest file that ext4 has. A larger one is nobody's log of logins; its end would never come."""


def to_come(mirror: MirrorConfig, plan: Plan, history: Catalogue, store: OpenStore, *, trusting: bool) -> int:
    """The bytes that are known to come.

    A file of a local source is looked at. One that has an old version in the newest snapshot is as sparse as that. A
    new one from a server that is larger than the store as a whole is taken for a sparse one: else it would have no
    chance; `trusting` takes every new file for one. What they really take is watched while they come.
    """
    snapshots, whole = history.snapshots(), store.whole_bytes()
    newest = history.tree(snapshots[0]) if snapshots else None
    asked = [*plan.transfer, *(group[0] for group in plan.groups)]
    return sum(_takes(mirror, pair, newest, whole, trusting=trusting) for pair in asked)


def _takes(mirror: MirrorConfig, pair: Pair, newest: Path | None, whole: int, *, trusting: bool) -> int:
    old, new = pair
    if new is None or new[1:2] != b"f" or classify(old, new) == "attributes":
        return 0
    size = size_of(new)
    if size < _SMALL:
        return size
    path = parse(new).path
    if mirror.source.kind == "local":
        seen = _seen(Path(mirror.source.path), path)
        return size if seen is None else min(size, seen[0])
    if newest is not None and old is not None and old[PREFIX + 1 : PREFIX + 2] == b"f":
        seen = _seen(newest, path)
        if seen is not None and seen[1]:
            return min(size, seen[0] * size // seen[1])
    return 0 if size <= _MOST_SPARSE and (trusting or size > whole) else size


def _seen(root: Path, path: bytes) -> tuple[int, int] | None:
    """What a file takes, and its size."""
    with suppress(OSError, DamageError):
        status = os.lstat(Tree(root).at(path))
        return status.st_blocks * 512, status.st_size
    return None


def shared_bytes(slot: Path, patched: Iterable[bytes], least: int) -> int:
    """How much of the files that were patched their earlier versions have as well; 0 where nobody can tell.

    Costs a flush of each: so it is asked of no other file, and of none that is smaller than `least`: it was no clone.
    """
    tree, shared = Tree(slot), 0
    for path in patched:
        with suppress(OSError, DamageError, files.ForeignError), files.reading(tree.at(path)) as file:
            if os.fstat(file.fileno()).st_size >= least:
                shared += extents.shared_bytes(file.fileno())
    return shared


def taken(file: bytes, size: int) -> int:
    """What a file of this size takes where holes stay holes: of a packed one (ZFS) all that is not a hole."""
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
