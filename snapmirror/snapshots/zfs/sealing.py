"""The data stored on a snapshot itself: the property `org.snapmirror:snapshot`, as JSON.

ZFS sets it atomically with taking the snapshot. So there is no separate record that could disagree with the pool after
a crash: a snapshot with the property is published, complete and durable, and every other one in the dataset belongs to
somebody else, and is neither shown nor changed.
"""

from __future__ import annotations

import json

from pydantic import ValidationError

from snapmirror.snapshots.record import Snapshot
from snapmirror.tools.zfs import SnapshotFacts

PROPERTY = "org.snapmirror:snapshot"
HOLD = "org.snapmirror:pin"
"""The hold of a pinned snapshot: nobody else can destroy it either."""

_LONGEST = 8000  # of the 8191 bytes that ZFS allows
_VERSION = 1


def written(snapshot: Snapshot) -> dict[str, str]:
    """The property for a snapshot that is about to be taken. Warnings are cut if there are too many."""
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
    """Our snapshot from its property; None for somebody else's."""
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
