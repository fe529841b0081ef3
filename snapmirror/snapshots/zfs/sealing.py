"""What is written on a snapshot itself: the property `org.snapmirror:snapshot`, as JSON.

ZFS sets it in the very moment in which it takes the snapshot. So there is no record beside the pool that a crash could
set at odds with it: what carries the property is published, complete and durable, and everything else in the dataset
is somebody else's snapshot, which is neither shown nor touched.
"""

from __future__ import annotations

import json

from pydantic import ValidationError

from snapmirror.snapshots.record import Snapshot
from snapmirror.tools.zfs import SnapshotFacts

PROPERTY = "org.snapmirror:snapshot"
HOLD = "org.snapmirror:pin"
"""The hold that a pinned snapshot carries: nobody else can destroy it either."""

_LONGEST = 8000  # of the 8191 bytes that ZFS takes
_VERSION = 1


def written(snapshot: Snapshot) -> dict[str, str]:
    """The property for a snapshot that is about to be taken. Warnings are cut where there are too many."""
    fields = snapshot.model_dump(mode="json", exclude={"id", "slot", "pinned"})
    warnings = fields["warnings"]
    while len(text := json.dumps({"version": _VERSION, **fields}, separators=(",", ":"))) > _LONGEST:
        if len(warnings) > 1:
            del warnings[-1]
            fields["warnings"] = warnings
        else:
            warnings[0] = warnings[0][: len(warnings[0]) // 2] + "…"
    return {PROPERTY: text}


def read(facts: SnapshotFacts, slot: int, *, pinned: bool) -> Snapshot | None:
    """A snapshot of ours; None for somebody else's."""
    if facts.note is None:
        return None
    try:
        fields = json.loads(facts.note)
        if fields.pop("version") != _VERSION:
            return None
        known = {"id": facts.name, "slot": slot, "pinned": pinned}
        known |= {"written_bytes": facts.written, "used_bytes": facts.used}
        snapshot = Snapshot.model_validate({**fields, **known})
        _ = snapshot.taken_at  # the name is a time
    except (ValueError, KeyError, AttributeError, ValidationError):
        return None
    return snapshot
