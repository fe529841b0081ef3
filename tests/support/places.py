"""Every place that a history has in a store: taken from the code's layout, so that a new one cannot be forgotten."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

from snapmirror.snapshots.hardlink.layout import HardlinkLayout

# What stands beside those, or in them, under names that are not the layout's.
_FURTHER = (
    ".snapmirror/record.json.previous", ".snapmirror/record.new", ".snapmirror/record.moved",
    ".snapmirror/read-back.json", ".snapmirror/read-back.new", ".snapmirror/trash.2020-01-01T000000Z",
    *(f".snapmirror/staging/tmp/{name}" for name in ("heal", "heal.new", "heal.link", "heal.journal")),
    ".snapmirror/staging/tmp/purge.journal", ".snapmirror/staging/tmp/.file.AbC123",
    ".snapmirror/staging/partial/file", "backup.2",
)  # fmt: skip


def places(layout: HardlinkLayout, ids: list[str], sequences: list[int]) -> list[Path]:
    """All of them, for these snapshots and numbers of snapshots."""
    given: dict[str, Sequence[object]] = {"number": [1, 2, 3], "snapshot_id": ids, "sequence": sequences}
    found = {layout.root, *(layout.root / name for name in _FURTHER)}
    found.update(layout.by_date / one for one in ids)
    for name, member in vars(HardlinkLayout).items():
        if name.startswith("__") or name in {"root", "make", "check"}:
            continue
        if not isinstance(member, property):
            [parameter] = list(inspect.signature(member).parameters)[1:]
            found.update(getattr(layout, name)(value) for value in given[parameter])
            continue
        value: Path | tuple[Path, ...] = getattr(layout, name)
        found.update([value] if isinstance(value, Path) else value)
    return sorted(found)
