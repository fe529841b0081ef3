"""Verifying a mirror's snapshots, by the rules that suit how its store was written."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from snapmirror import files
from snapmirror.config import Config, MirrorConfig
from snapmirror.errors import StorageError
from snapmirror.mirror import memory, metrics
from snapmirror.model import Progress
from snapmirror.snapshots.protocol import SnapshotStore
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.verify import Depth, Report, Rules, rolling, spread, verify

log = logging.getLogger("snapmirror.verify")


def check(
    mirror: MirrorConfig, history: SnapshotStore, chosen: Sequence[Snapshot], depth: Depth, progress: Progress
) -> Report:
    """Verify snapshots of a mirror. The caller holds the lock."""
    report = verify(mirror.name, history, chosen, depth, rules_of(mirror, history, chosen), progress)
    if report.findings:
        log.warning("%s: %d findings in %d snapshots", mirror.name, len(report.findings), len(report.snapshots))
    return report


def check_found(mirror: MirrorConfig, history: SnapshotStore, progress: Progress) -> Report:
    """Look again at the files that the nights have found damaged. The caller holds the lock. Raises StorageError."""
    state, report = rolling.load(history.read_back()), Report(mirror.name)
    if state is None:
        raise StorageError(
            f"which files the nights have found damaged is not known: {history.read_back()} is damaged",
            hint="'snapmirror verify --full' reads everything",
        )
    progress.begin(f"verifying {mirror.name}")
    try:
        rolling.Reading(history, state, report, progress).look_again()
    finally:
        progress.end()
    spread(history, report)
    return report


def note_healed(config: Config, mirror: MirrorConfig, history: SnapshotStore, progress: Progress) -> None:
    """Let `list`, `status`, the metrics and the nights know which files that they have found damaged are well now."""
    if (state := rolling.load(history.read_back())) is not None and state.damaged:
        reading = rolling.Reading(history, state, Report(mirror.name), progress)
        reading.look_again()
        rolling.save(reading.state, history.read_back())
        try:
            metrics.write(config, memory.keep_damaged(config, mirror.name, len(reading.state.damaged)))
        except files.ForeignError as error:  # the next night says it then
            log.warning("%s", error.message)
        except OSError as error:
            log.warning("%s cannot be written: %s", error.filename, error.strerror)


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
