"""`forget --json`, `purge --json` and `retire --json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from snapmirror.views.fields import json_name, plain

if TYPE_CHECKING:
    from snapmirror.history.removal import Names
    from snapmirror.history.retiring import Doomed
    from snapmirror.snapshots.record import Snapshot

VERSION = 1


def forget(mirror: str, snapshots: Sequence[Snapshot], warnings: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    """Snapshots that are removed before they expire."""
    return {
        "mirror": mirror, "forgotten": [one.id for one in snapshots], "dry_run": dry_run, "warnings": plain(warnings),
    }  # fmt: skip


def retire(mirror: str, doomed: Doomed, warnings: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    """A whole history that is removed."""
    return {
        "mirror": mirror,
        "dry_run": dry_run,
        "retired": [one.id for one in doomed.snapshots],
        "in_configuration": doomed.in_configuration,
        "warnings": plain(warnings),
    }


def purge(mirror: str, names: Names, warnings: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    """Names that are removed from all snapshots."""
    return {
        "mirror": mirror,
        "dry_run": dry_run,
        "snapshots": [
            {"id": held.snapshot.id, "names": [json_name(one.path) for one in held.entries]} for held in names.held
        ],
        "other_names": [json_name(path) for path in names.others],
        "warnings": plain(warnings),
    }
