"""After a published night, read back the stored contents that are due, and heal damage if that is configured.

Damage is a warning, healed or not.

A published night does not fail because of this: errors here are warnings as well. A signal ends it like everything
else; the next night continues from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from snapmirror.config import Config, MirrorConfig
from snapmirror.errors import Interrupted, SnapmirrorError
from snapmirror.model import Progress, count, size
from snapmirror.night import guard
from snapmirror.pipeline import Pipeline
from snapmirror.snapshots.history import History
from snapmirror.snapshots.verify import Finding, Report, rolling, spread
from snapmirror.snapshots.verify.findings import CONTENT
from snapmirror.state import damage
from snapmirror.state.report import MirrorReport
from snapmirror.storage.open_store import OpenStore

log = logging.getLogger("snapmirror.verify")
_TOLD = 10
_LOWEST = 7  # lowest of the best-effort class: it gives way, but is still served on a busy disk


def read_back(
    config: Config,
    mirror: MirrorConfig,
    store: OpenStore,
    history: History,
    night: MirrorReport,
    pipeline: Pipeline,
    progress: Progress,
) -> None:
    """Read what is due or known to be damaged; progress and findings go into the night's report.

    The caller holds the lock, and the store open for writing. Raises only Interrupted.
    """
    state = damage.load(config, mirror.name, history)
    if state is None:
        night.warnings.append(
            f"how far the contents have been read back is not known, {history.read_back()} is damaged: it starts anew"
        )
        state = rolling.Round()
    with _warning(night, "what was found before cannot be noted"):
        damage.save(config, mirror.name, history, state)
    if mirror.verify.read_all_within_days or state.damaged:
        _look(mirror, store, rolling.Reading(history, state, Report(mirror.name), progress), night, pipeline)
    if night.warnings:
        night.exit_code = 3


def _look(
    mirror: MirrorConfig, store: OpenStore, reading: rolling.Reading, night: MirrorReport, pipeline: Pipeline
) -> None:
    history, report, now = reading.history, reading.report, datetime.now(UTC).replace(microsecond=0)
    try:
        with _warning(night, "reading the contents back has stopped"):
            if reading.state.due(now, mirror.verify.read_all_within_days) or reading.state.damaged:
                with pipeline.step(f"{mirror.name}: read back"), _giving_way():
                    _read(mirror, reading, now)
                many = count(report.files_read, "file")
                log.info("%s: %s read back (%s)", mirror.name, many, size(report.bytes_read))
        with _warning(night, "which snapshots share the damage cannot be told"):
            _complete(reading)
        if mirror.verify.heal == "auto" and report.findings:
            with _warning(night, "healing has stopped"), pipeline.step(f"{mirror.name}: heal"), _giving_way():
                _heal(mirror, store, reading, now)
    finally:
        night.read_back = replace(reading.state.told(now), files=report.files_read, bytes=report.bytes_read)
        _tell(report, night, healable=history.healing is not None)


@contextmanager
def _warning(night: MirrorReport, what: str) -> Iterator[None]:
    """Turn an error into a warning of the night, which stays good."""
    try:
        yield
    except Interrupted:
        raise
    except (SnapmirrorError, OSError) as error:
        night.warnings.append(f"{what}: {error.message if isinstance(error, SnapmirrorError) else error.strerror}")


def _read(mirror: MirrorConfig, reading: rolling.Reading, now: datetime) -> None:
    deadline = time.monotonic() + mirror.verify.longest_minutes * 60
    reading.progress.begin(f"reading back {mirror.name}")
    try:
        reading.run(
            now,
            mirror.verify.read_all_within_days,
            lambda: time.monotonic() > deadline,
            lambda state: rolling.save(state, reading.history.read_back()),
        )
    finally:
        reading.progress.end()


def _complete(reading: rolling.Reading) -> None:
    """Add the damage known before to the findings, and to each finding the snapshots concerned."""
    findings = reading.report.findings
    told = {(one.kind, one.path, one.number) for one in findings}
    known = (one.finding() for one in reading.state.damaged if one.kind != CONTENT)
    findings += [one for one in known if (one.kind, one.path, one.number) not in told]
    spread(reading.history, reading.report)


def _heal(mirror: MirrorConfig, store: OpenStore, reading: rolling.Reading, now: datetime) -> None:
    """Heal what is known to be damaged, and forget what is intact afterwards."""
    from snapmirror.history.heal import heal  # not needed every night; a start is counted in milliseconds

    history, report, progress = reading.history, reading.report, reading.progress
    heal(mirror, history, report, progress, lambda size, files: guard.check_room(mirror, store, size, files))
    state = reading.state.without([one for one in report.findings if one.healed is not None])
    after = rolling.Reading(history, state, Report(mirror.name), progress)
    after.look_again(now)
    reading.state = after.state
    rolling.save(reading.state, history.read_back())


@contextmanager
def _giving_way() -> Iterator[None]:
    """Run with low I/O priority, if the disk's scheduler supports priorities."""
    import psutil  # here: its import takes 20 ms

    me = psutil.Process()
    before = me.ionice()
    me.ionice(psutil.IOPRIO_CLASS_BE, _LOWEST)
    try:
        yield
    finally:
        me.ionice(before.ioclass, before.value)


def _tell(report: Report, night: MirrorReport, *, healable: bool) -> None:
    """Report the findings as warnings."""
    night.warnings += [_sentence(finding, healable=healable) for finding in report.findings[:_TOLD]]
    if (more := len(report.findings) - _TOLD + report.left_out) > 0:
        night.warnings.append(f"DAMAGE: {count(more, 'more finding')}; 'snapmirror verify --full' lists them")


def _sentence(finding: Finding, *, healable: bool) -> str:
    name = f" {finding.path.decode('utf-8', 'backslashreplace')}:" if finding.path is not None else ""
    shown = ", ".join(finding.snapshots[:3]) + (f" and {more} more" if (more := len(finding.snapshots) - 3) > 0 else "")
    if finding.healed is not None:
        end = f"; healed, from {finding.healed}"
    elif finding.not_healed is not None:
        end = f"; NOT healed: {finding.not_healed}"
    else:
        end = "; 'snapmirror verify --found --heal' mends what it can" if healable else ""
    return f"DAMAGE: {finding.kind}:{name} {finding.detail}; in {shown}{end}"
