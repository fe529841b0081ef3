"""The history of a mirror on an open store, by the way in which that store keeps it."""

from __future__ import annotations

from snapmirror.config import MirrorConfig
from snapmirror.snapshots.hardlink.store import HardlinkStore
from snapmirror.snapshots.protocol import SnapshotStore
from snapmirror.snapshots.zfs.store import ZfsStore
from snapmirror.storage.open_store import OpenStore


def history_of(store: OpenStore, mirror: MirrorConfig) -> SnapshotStore:
    """The history of a mirror on an open store."""
    if store.dataset is not None:
        return ZfsStore(store.dataset, store.path, mirror.name)
    return HardlinkStore(store.path / mirror.name)
