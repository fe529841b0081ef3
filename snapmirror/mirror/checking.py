"""Verifying a mirror's snapshots, by the rules that suit how its store was written."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from snapmirror.config import MirrorConfig
from snapmirror.model import Progress
from snapmirror.snapshots.protocol import SnapshotStore
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.verify import Depth, Report, Rules, verify

log = logging.getLogger("snapmirror.verify")


def check(
    mirror: MirrorConfig, history: SnapshotStore, chosen: Sequence[Snapshot], depth: Depth, progress: Progress
) -> Report:
    """Verify snapshots of a mirror. The caller holds the lock."""
    report = verify(mirror.name, history, chosen, depth, rules_of(mirror, history, chosen), progress)
    if report.findings:
        log.warning("%s: %d findings in %d snapshots", mirror.name, len(report.findings), len(report.snapshots))
    return report


def rules_of(mirror: MirrorConfig, history: SnapshotStore, chosen: Sequence[Snapshot]) -> Rules:
    """What can be compared in these snapshots."""
    return Rules(owners=_by_root(history, chosen) and not mirror.fake_super, fake_super=mirror.fake_super)


def _by_root(history: SnapshotStore, chosen: Sequence[Snapshot]) -> bool:
    """Whether root has written this store: anybody else cannot keep owners, and is not blamed for that."""
    for snapshot in chosen:
        try:
            return history.manifest(snapshot).stat().st_uid == 0
        except OSError:
            continue
    return os.geteuid() == 0
