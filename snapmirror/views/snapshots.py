"""`list --json`: a snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapmirror.views.fields import json_name, plain, utc_time

if TYPE_CHECKING:
    from snapmirror.snapshots.record import Snapshot
    from snapmirror.snapshots.retention.forecast import Stay

VERSION = 1


def snapshot(mirror: str, snapshot: Snapshot, tree: Path, stay: Stay | None = None) -> dict[str, Any]:
    """A snapshot; `tree` is the folder in which its source lies. `stay`: how long it stays, with `list --why`."""
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
        "warnings": plain(snapshot.warnings),
        **(_stay(stay) if stay is not None else {}),
    }


def _stay(stay: Stay) -> dict[str, Any]:
    return {"reasons": list(stay.reasons), "expires_at": utc_time(stay.until) if stay.until is not None else None}


def _on_disk(snapshot: Snapshot) -> dict[str, int]:
    """ZFS' figures of a snapshot's blocks; nothing if the store has none."""
    told = {"written_bytes": snapshot.written_bytes, "used_bytes": snapshot.used_bytes}
    return {name: value for name, value in told.items() if value is not None}
