"""The history of a mirror on an open store, for the backend of that store."""

from __future__ import annotations

from snapmirror.config import MirrorConfig
from snapmirror.snapshots.hardlink.history import HardlinkHistory
from snapmirror.snapshots.history import History
from snapmirror.storage.open_store import OpenStore


def history_of(store: OpenStore, mirror: MirrorConfig) -> History:
    """The history of a mirror on an open store."""
    return history_called(store, mirror.name)


def history_called(store: OpenStore, name: str) -> History:
    """The same by its name, whether the configuration has such a mirror or not."""
    if store.dataset is not None:
        from snapmirror.snapshots.zfs.history import ZfsHistory  # not at every start, which is counted in milliseconds

        return ZfsHistory(store.dataset, store.path, name)
    return HardlinkHistory(store.path / name)
