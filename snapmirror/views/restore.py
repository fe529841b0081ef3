"""`restore --json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from snapmirror.views.fields import json_name, plain

if TYPE_CHECKING:
    from snapmirror.history.restore import Preview, Restore

VERSION = 1


def restore(preview: Preview, job: Restore, done: int, warnings: Sequence[str]) -> dict[str, Any]:
    """What a restore would write, how many names it has written, and what was not as it should be."""
    return {
        "mirror": job.found.mirror.name,
        "snapshot": job.found.snapshot.id,
        **json_name(job.where, "to"),
        "new": preview.counts["new"],
        "overwritten": preview.counts["overwritten"],
        "attributes": preview.counts["attributes"],
        "bytes": preview.bytes,
        "restored": done,
        "warnings": plain(warnings),
        "changes": [{"change": change.kind, **json_name(change.path)} for change in preview.changes],
    }
