"""`ls --json`, `find --json` and `diff --json`: names of snapshots."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from snapmirror.snapshots import times
from snapmirror.snapshots.entry import join
from snapmirror.views.fields import json_name

if TYPE_CHECKING:
    from snapmirror.snapshots.browse import Version
    from snapmirror.snapshots.difference import Difference
    from snapmirror.snapshots.entry import Entry
    from snapmirror.snapshots.history import Catalogue
    from snapmirror.snapshots.record import Snapshot

VERSION = 1
KINDS = {b"f": "file", b"d": "folder", b"L": "symlink", b"D": "device", b"S": "fifo or socket"}


def entry(entry: Entry) -> dict[str, Any]:
    """A name of a snapshot."""
    fields = {
        **json_name(entry.path), "type": KINDS[entry.kind], "bytes": entry.size, "mode": f"{entry.mode:04o}",
        "uid": entry.uid, "gid": entry.gid, "modified_at": utc_mtime(entry),
    }  # fmt: skip
    return fields | (json_name(entry.target, "target") if entry.target is not None else {})


def version(mirror: str, version: Version, history: Catalogue) -> dict[str, Any]:
    """One version of a file, with the snapshots that hold it, newest first."""
    newest = version.snapshots[0]
    entry = version.entry
    fields: dict[str, Any] = {
        "mirror": mirror,
        **json_name(entry.path),
        **_attributes(entry),
        "snapshots": [snapshot.id for snapshot in version.snapshots],
        **json_name(place(history, newest, entry.path), "copy_from"),
    }
    if entry.target is not None:
        fields |= json_name(entry.target, "target")
    if entry.leader is not None:
        fields |= json_name(entry.leader, "hard_link_to")
    return fields


def difference(one: Difference) -> dict[str, Any]:
    """The difference between two snapshots in one name."""
    fields: dict[str, Any] = {"change": one.kind, **json_name(one.path), "what": list(one.what)}
    if one.source is not None:
        fields |= json_name(one.source, "source")
    for key, entry in (("before", one.before), ("after", one.after)):
        if entry is not None:
            fields[key] = _attributes(entry)
            if entry.target is not None:
                fields[key] |= json_name(entry.target, "target")
    return fields


def _attributes(entry: Entry) -> dict[str, Any]:
    return {
        "type": KINDS[entry.kind], "bytes": entry.size, "modified_at": utc_mtime(entry), "mode": f"{entry.mode:04o}",
        "uid": entry.uid, "gid": entry.gid,
    }  # fmt: skip


def place(history: Catalogue, snapshot: Snapshot, path: bytes) -> bytes:
    """The path to copy a name from."""
    return join(os.fsencode(history.dated(snapshot)), path)


def utc_mtime(entry: Entry) -> str:
    """When a name was last written, also in years that Python's datetime cannot represent."""
    return times.iso(entry.mtime)
