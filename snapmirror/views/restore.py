"""`restore --json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapmirror.views.fields import json_name

if TYPE_CHECKING:
    from snapmirror.history.restore import Preview, Restore

VERSION = 1


def restore(preview: Preview, job: Restore, done: int) -> dict[str, Any]:
    """What a restore would write, and how many names it has written."""
    return {
        "mirror": job.found.mirror.name,
        "snapshot": job.found.snapshot.id,
        **json_name(job.where, "to"),
        "new": preview.counts["new"],
        "overwritten": preview.counts["overwritten"],
        "attributes": preview.counts["attributes"],
        "bytes": preview.bytes,
        "restored": done,
        "changes": [{"change": change.kind, **json_name(change.path)} for change in preview.changes],
    }
