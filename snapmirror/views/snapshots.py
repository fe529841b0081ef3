"""`list --json`: a snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapmirror.text import harmless
from snapmirror.views.fields import json_name, utc_time

if TYPE_CHECKING:
    from snapmirror.snapshots.record import Snapshot

VERSION = 1


def snapshot(mirror: str, snapshot: Snapshot, tree: Path) -> dict[str, Any]:
    """A snapshot; `tree` is the folder in which its source lies."""
    return {
        "mirror": mirror,
        "id": snapshot.id,
        "slot": snapshot.slot,
        "taken_at": utc_time(snapshot.taken_at),
        **json_name(tree),
        "files": snapshot.files,
        "entries": snapshot.entries,
        "bytes": snapshot.bytes,
        "new_bytes": snapshot.new_bytes,
        "shared_bytes": snapshot.shared_bytes,
        **_on_disk(snapshot),
        "seconds": snapshot.seconds,
        "full": snapshot.full,
        "degraded": snapshot.degraded,
        "pinned": snapshot.pinned,
        "healed": snapshot.healed,
        "changes": snapshot.counts,
        "warnings": [harmless(warning) for warning in snapshot.warnings],
    }


def _on_disk(snapshot: Snapshot) -> dict[str, int]:
    """ZFS' figures of a snapshot's blocks; nothing if the store has none."""
    told = {"written_bytes": snapshot.written_bytes, "used_bytes": snapshot.used_bytes}
    return {name: value for name, value in told.items() if value is not None}
