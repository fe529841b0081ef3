"""`forget --json`, `purge --json` and `retire --json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from snapmirror.views.fields import json_name

if TYPE_CHECKING:
    from snapmirror.history.removal import Names
    from snapmirror.history.retiring import Doomed
    from snapmirror.snapshots.record import Snapshot

VERSION = 1


def forget(mirror: str, snapshots: Sequence[Snapshot], *, dry_run: bool) -> dict[str, Any]:
    """Snapshots that are removed before they expire."""
    return {"mirror": mirror, "forgotten": [one.id for one in snapshots], "dry_run": dry_run}


def retire(mirror: str, doomed: Doomed, *, dry_run: bool) -> dict[str, Any]:
    """A whole history that is removed."""
    ids = [one.id for one in doomed.snapshots]
    return {"mirror": mirror, "dry_run": dry_run, "retired": ids, "in_configuration": doomed.in_configuration}


def purge(mirror: str, names: Names, *, dry_run: bool) -> dict[str, Any]:
    """Names that are removed from all snapshots."""
    return {
        "mirror": mirror,
        "dry_run": dry_run,
        "snapshots": [
            {"id": held.snapshot.id, "names": [json_name(one.path) for one in held.entries]} for held in names.held
        ],
        "other_names": [json_name(path) for path in names.others],
    }
