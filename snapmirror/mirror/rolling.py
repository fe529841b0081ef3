"""Reading back, after a published night, what is due of all stored contents. Damage is a warning, and stays one.

Nothing of this fails a night that is published: what goes wrong here is a warning as well. A signal ends it as it ends
all else; the next night goes on from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from snapmirror.config import MirrorConfig
from snapmirror.errors import Interrupted, SnapmirrorError
from snapmirror.mirror.report import MirrorReport
from snapmirror.model import Progress, count, size
from snapmirror.pipeline import Pipeline
from snapmirror.snapshots.protocol import SnapshotStore
from snapmirror.snapshots.verify import Finding, Report, rolling, spread

log = logging.getLogger("snapmirror.verify")
_TOLD = 10
_LOWEST = 7  # of the best-effort class: it gives way to others, and still gets its turn on a busy disk


def read_back(
    mirror: MirrorConfig, history: SnapshotStore, night: MirrorReport, pipeline: Pipeline, progress: Progress
) -> None:
    """Read what is due, and what is known to be damaged; the night's report says how far that came, and what it found.

    The caller holds the lock, and the store open for writing. Raises only Interrupted.
    """
    path, report = history.read_back(), Report(mirror.name)
    now, days = datetime.now(UTC).replace(microsecond=0), mirror.verify.read_all_within_days
    state = rolling.load(path)
    if state is None:
        night.warnings.append(
            f"how far the contents have been read back is not known, {path} is damaged: it starts anew"
        )
        state = rolling.Round()
    deadline = time.monotonic() + mirror.verify.longest_minutes * 60
    try:
        reading = rolling.Reading(history, state, report, progress)
        try:
            if state.due(now, days) or state.damaged:
                with pipeline.step(f"{mirror.name}: read back"), _giving_way():
                    progress.begin(f"reading back {mirror.name}")
                    try:
                        reading.run(
                            now, days, lambda: time.monotonic() > deadline, lambda state: rolling.save(state, path)
                        )
                    finally:
                        progress.end()
                log.info("%s: %d contents read back (%s)", mirror.name, report.files_read, size(report.bytes_read))
        finally:
            night.read_back = replace(reading.state.told(now), files=report.files_read, bytes=report.bytes_read)
            _tell(history, report, night)
    except Interrupted:
        raise
    except (SnapmirrorError, OSError) as error:
        said = error.message if isinstance(error, SnapmirrorError) else error.strerror
        night.warnings.append(f"reading the contents back has stopped: {said}")
    if night.warnings:
        night.exit_code = 3


@contextmanager
def _giving_way() -> Iterator[None]:
    """Others who need the disk come first, where its scheduler knows of priorities."""
    import psutil  # here: its import takes 20 ms

    me = psutil.Process()
    before = me.ionice()
    me.ionice(psutil.IOPRIO_CLASS_BE, _LOWEST)
    try:
        yield
    finally:
        me.ionice(before.ioclass, before.value)


def _tell(history: SnapshotStore, report: Report, night: MirrorReport) -> None:
    """The findings as warnings, with all snapshots that they hit."""
    if not report.findings:
        return
    spread(history, report)
    night.warnings += [_sentence(finding) for finding in report.findings[:_TOLD]]
    if (more := len(report.findings) - _TOLD + report.left_out) > 0:
        night.warnings.append(f"DAMAGE: {count(more, 'more finding')}; 'snapmirror verify --full' lists them")
    night.exit_code = 3


def _sentence(finding: Finding) -> str:
    name = f" {finding.path.decode('utf-8', 'backslashreplace')}:" if finding.path is not None else ""
    shown = ", ".join(finding.snapshots[:3]) + (f" and {more} more" if (more := len(finding.snapshots) - 3) > 0 else "")
    hint = "'snapmirror verify --found --heal' mends what it can"
    return f"DAMAGE: {finding.kind}:{name} {finding.detail}; in {shown}; {hint}"
