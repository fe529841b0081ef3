"""Removes the whole history of a mirror kept by ZFS: its dataset, and nothing that others have made there.

The dataset is renamed first. From then on it belongs to no mirror, is not mounted any more, and will be destroyed;
until then nothing is changed.
"""

from __future__ import annotations

from snapmirror.errors import StorageError
from snapmirror.snapshots.zfs import sealing
from snapmirror.storage import pool
from snapmirror.tools import zfs


def check(base: str, mirror: str) -> None:
    """Raises StorageError if anything in the mirror's dataset is not ours, or is used by somebody else."""
    dataset = f"{base}/{mirror}"
    if not zfs.exists(dataset):
        return
    if zfs.local_property(dataset, pool.MIRROR) != mirror:
        raise StorageError(f"snapmirror did not make the dataset {dataset}, and leaves it alone")
    if below := zfs.below(dataset):
        raise StorageError(
            f"snapmirror did not make {below[0]}, and leaves it alone",
            hint="'zfs rename' moves it elsewhere",
        )
    for one in zfs.snapshots(dataset, sealing.PROPERTY):
        if sealing.read(one, 0, pinned=False) is None:
            raise StorageError(
                f"snapmirror did not make the snapshot {dataset}@{one.name}, and leaves it alone",
                hint="if nobody needs it, end it with 'zfs destroy' first",
            )
        others = one.holds - len(zfs.held(dataset, [one.name], sealing.HOLD)) if one.holds else 0
        if others:
            raise StorageError(
                f"somebody else holds the snapshot {dataset}@{one.name}", hint="'zfs holds' tells by which tag"
            )


def is_set_aside(base: str, mirror: str) -> bool:
    """Whether the dataset has its new name: then only destroying it is left to do."""
    return zfs.exists(_aside(base, mirror))


def is_standing(base: str, mirror: str) -> bool:
    """Whether the mirror has a dataset."""
    return zfs.exists(f"{base}/{mirror}")


def set_aside(base: str, mirror: str) -> None:
    """Rename the mirror's dataset, so that the mirror has none any more."""
    dataset = f"{base}/{mirror}"
    zfs.umount_all(dataset)
    zfs.rename(dataset, _aside(base, mirror))


def destroy(base: str, mirror: str) -> None:
    """Destroy the renamed dataset, with its snapshots. Raises StorageError when there are clones of them."""
    dataset = _aside(base, mirror)
    if zfs.local_property(dataset, pool.MIRROR) != mirror:
        raise StorageError(f"snapmirror did not make the dataset {dataset}, and leaves it alone")
    held = [one.name for one in zfs.snapshots(dataset) if one.holds]
    for name in sorted(zfs.held(dataset, held, sealing.HOLD)):
        zfs.release(dataset, name, sealing.HOLD)
    zfs.destroy(dataset)


def _aside(base: str, mirror: str) -> str:
    return f"{base}/retired:{mirror}"  # (no mirror has such a name)
