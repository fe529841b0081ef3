"""Verifies a mirror's snapshots, by the rules for the way in which its store was written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from snapmirror.config import MirrorConfig
from snapmirror.errors import StorageError
from snapmirror.model import Progress
from snapmirror.snapshots.history import History
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.verify import Depth, Report, Rules, checksums_wrong, rolling, spread, verify
from snapmirror.snapshots.verify.findings import CHECKSUMS


def check(
    mirror: MirrorConfig, history: History, chosen: Sequence[Snapshot], depth: Depth, progress: Progress
) -> Report:
    """Verify snapshots of a mirror. The caller holds the lock."""
    return verify(mirror.name, history, chosen, depth, rules_of(mirror, history, chosen), progress)


def check_found(
    mirror: MirrorConfig, history: History, state: rolling.Round | None, progress: Progress
) -> tuple[Report, rolling.Round]:
    """Check known damage (`state`) again; also returns the known damage of contents afterwards.

    The caller holds the lock. Raises StorageError.
    """
    report = Report(mirror.name)
    if state is None:
        raise StorageError(
            f"the list of damaged files is unknown: {history.read_back()} is damaged",
            hint="'snapmirror verify --full' reads everything",
        )
    reading = rolling.Reading(history, state, report, progress)
    progress.begin(f"verifying {mirror.name}")
    try:
        reading.look_again(datetime.now(UTC).replace(microsecond=0))
    finally:
        progress.end()
    spread(history, report)
    _look_at_names(mirror, history, state, report, progress)
    return report, reading.state


def _look_at_names(
    mirror: MirrorConfig, history: History, state: rolling.Round, report: Report, progress: Progress
) -> None:
    """Check the known damage of names, attributes and records, in all snapshots that it affects.

    Findings are added to the report of what was read.
    """
    hit = {one for damaged in state.damaged for one in damaged.snapshots}
    chosen = [snapshot for snapshot in history.snapshots() if snapshot.id in hit]
    if not chosen:
        return
    found = check(mirror, history, chosen, Depth(), progress)
    for damaged in state.damaged:
        if damaged.kind == CHECKSUMS and (said := checksums_wrong(history, damaged.number)) is not None:
            for snapshot in damaged.snapshots:
                found.add(snapshot, CHECKSUMS, None, said, damaged.number)
    known = {(finding.kind, finding.path, finding.number) for finding in report.findings}
    report.findings += [one for one in found.findings if (one.kind, one.path, one.number) not in known]
    report.snapshots, report.names, report.denied = found.snapshots, found.names, found.denied
    report.left_out += found.left_out
    report.unchecked += found.unchecked


def rules_of(mirror: MirrorConfig, history: History, chosen: Sequence[Snapshot]) -> Rules:
    """The attributes that can be compared in these snapshots."""
    return Rules(owners=_by_root(history, chosen) and not mirror.fake_super, fake_super=mirror.fake_super)


def _by_root(history: History, chosen: Sequence[Snapshot]) -> bool:
    """Whether root has written this store: another user cannot keep owners, which is then not damage."""
    for snapshot in chosen:
        try:
            return history.manifest(snapshot).stat().st_uid == 0
        except OSError:
            continue
    return os.geteuid() == 0
