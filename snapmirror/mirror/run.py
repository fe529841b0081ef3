"""A run: lock, open the store, a night for each mirror, release, report; then the copy of the image, if one is due."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from snapmirror import files
from snapmirror.config import Config, MirrorConfig
from snapmirror.errors import (
    ExitCode,
    Interrupted,
    LockedError,
    ShareLost,
    SnapmirrorError,
    StorageError,
    StuckError,
    StumbledError,
)
from snapmirror.lock import run_lock
from snapmirror.mirror import memory, newest
from snapmirror.mirror import report as reports
from snapmirror.mirror.copying import copy_and_remember
from snapmirror.mirror.histories import complete_removal
from snapmirror.mirror.history import history_of
from snapmirror.mirror.lateness import usual_gap
from snapmirror.mirror.night import Night, Options, is_full_due
from snapmirror.mirror.planning import Planned, make_plan, next_header
from snapmirror.mirror.report import CopyResult, MirrorReport, RunReport
from snapmirror.model import NOTICE, Progress
from snapmirror.pipeline import Pipeline
from snapmirror.snapshots.protocol import SnapshotStore
from snapmirror.snapshots.record import Snapshot
from snapmirror.storage.open_store import OpenStore, open_store

log = logging.getLogger("snapmirror.run")
_ATTEMPTS = 3  # of a night whose source changed under rsync's feet; what has arrived is not sent again


def run_mirrors(config: Config, names: Sequence[str], options: Options, progress: Progress) -> RunReport:
    """Make a snapshot of each mirror named (all, if none is). A mirror that fails does not keep the others from it.

    Raises SnapmirrorError when the store cannot be opened, locked or released.
    """
    mirrors = config.select(names)
    report = RunReport()
    last_success: dict[str, memory.Success] = {}
    space: memory.Space | None = None
    with ExitStack() as stack:
        stack.enter_context(report.listening())
        tell: Callable[[], None] = _nobody
        try:
            tell = stack.enter_context(_host(config, report))
            with Pipeline() as pipeline:
                pipeline.hold("lock", run_lock(config))
                store = pipeline.hold("open the store", open_store(config))
                complete_removal(config, store)
                for mirror in mirrors:
                    history = history_of(store, mirror)
                    night = _one(config, mirror, store, history, options, pipeline, progress, last_success)
                    report.mirrors.append(night)  # before anything else: what is published is told, whatever comes
                    if night.result == "published":
                        _remember_newest(config, history, night)
                if any(mirror.expired for mirror in report.mirrors):
                    store.trim()
                for mirror, night in zip(mirrors, report.mirrors, strict=True):
                    _read_back(mirror, store, night, pipeline, progress)
                space = memory.space_of(store, time.time())
        except SnapmirrorError as error:
            if isinstance(error, LockedError) and not error.elsewhere:
                raise  # the report is the other run's
            _fail(report, mirrors, error)
            finished = time.time()
            _write(report, config, finished, last_success, space)
            if not isinstance(error, Interrupted):  # who is stopped, or has lost the host, keeps nobody waiting
                tell()
            if report.warnings:
                _write(report, config, finished, last_success, space)
            for warning in report.warnings:
                if warning not in report.logged:
                    log.warning("%s", warning)
            raise
        finished = time.time()
        _write(report, config, finished, last_success, space)
        if config.image_copy is not None and config.image_copy.after_night:
            report.copy = _copied(config, progress)
        tell()
        if report.copy is not None or report.warnings:
            _write(report, config, finished, last_success, space)
    return report


def _write(
    report: RunReport,
    config: Config,
    finished: float,
    last_success: dict[str, memory.Success],
    space: memory.Space | None,
) -> None:
    """Write the report files. Where that fails a night stays what it was, published or stuck: it is a warning."""
    try:
        reports.write(report, config, finished, last_success, space)
    except StorageError as error:
        if error.message not in report.warnings:
            report.warnings.append(error.message)


@contextmanager
def _host(config: Config, report: RunReport) -> Iterator[Callable[[], None]]:
    """The Windows host, if there is one to ask, kept awake meanwhile; call what this yields when the run is over."""
    if config.host is None:
        yield _nobody
        return
    from snapmirror.mirror.host.night import HostNight  # not at every start, which is counted in milliseconds

    night = HostNight(config, report)
    with night.awake():
        yield night.finish


def _nobody() -> None:
    """There is nobody to tell."""


def _copied(config: Config, progress: Progress) -> CopyResult:
    """The image, now that it is closed, copied to its disk. What goes wrong there takes nothing from the night."""
    try:
        return CopyResult(copy_and_remember(config, progress=progress))
    except (StuckError, Interrupted) as error:
        if not isinstance(error, ShareLost):
            raise
        return CopyResult(error=error.message, hint=error.hint)
    except SnapmirrorError as error:
        return CopyResult(error=error.message, hint=error.hint)


def report_failure(config: Config, names: Sequence[str], error: SnapmirrorError) -> None:
    """Write the report of a run that could not do it itself."""
    report = RunReport()
    _fail(report, config.select(names), error)
    _write(report, config, time.time(), {}, None)


def _fail(report: RunReport, mirrors: Sequence[MirrorConfig], error: SnapmirrorError) -> None:
    for mirror in mirrors[len(report.mirrors) :]:
        report.mirrors.append(MirrorReport(mirror.name))
        report.mirrors[-1].fail(error)


def _one(
    config: Config,
    mirror: MirrorConfig,
    store: OpenStore,
    history: SnapshotStore,
    options: Options,
    pipeline: Pipeline,
    progress: Progress,
    last_success: dict[str, memory.Success],
) -> MirrorReport:
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            night = Night(mirror, store, history, options, pipeline, progress)
            try:
                _check_newest(config, mirror, history, options)
                return night.run()
            except Interrupted:
                raise
            except StumbledError as error:
                night.report.fail(error)
                if attempt < _ATTEMPTS:
                    log.log(NOTICE, "%s; trying again", error.message)
            except SnapmirrorError as error:
                night.report.fail(error)
                break
        return night.report
    finally:
        if snapshots := history.snapshots():
            last_success[mirror.name] = _success(snapshots)


def _success(snapshots: Sequence[Snapshot]) -> memory.Success:
    """What is to be known of a mirror's last success while its store is closed."""
    gap = usual_gap([one.taken_at for one in snapshots])
    return memory.Success(snapshots[0].taken_at.timestamp(), gap.total_seconds() if gap is not None else None)


def _check_newest(config: Config, mirror: MirrorConfig, history: SnapshotStore, options: Options) -> None:
    """Before anything is changed, what a dead run has left included: is this the store that this machine knows?"""
    if not options.accept_changes:
        newest.check(config, mirror.name, history.snapshots())
    elif (sentence := newest.behind(config, mirror.name, history.snapshots())) is not None:
        log.log(NOTICE, "%s; going on, as that is accepted", sentence)


def _remember_newest(config: Config, history: SnapshotStore, report: MirrorReport) -> None:
    """Only what was published: a night that failed, or was refused, says nothing about the store."""
    try:
        newest.remember(config, report.mirror, history.snapshots()[0])
    except (OSError, files.ForeignError) as error:
        why = error.message if isinstance(error, files.ForeignError) else f"{error.filename}: {error.strerror}"
        report.warnings.append(f"the newest snapshot cannot be remembered: {why}")
        report.exit_code = int(ExitCode.WARNINGS)


def _read_back(
    mirror: MirrorConfig, store: OpenStore, night: MirrorReport, pipeline: Pipeline, progress: Progress
) -> None:
    """What is due of the stored contents is read, once every mirror has its snapshot."""
    if night.result == "published" and mirror.verify.read_all_within_days:
        from snapmirror.mirror.rolling import read_back  # not at every start, which is counted in milliseconds

        read_back(mirror, history_of(store, mirror), night, pipeline, progress)


def plan_mirrors(config: Config, names: Sequence[str], options: Options, progress: Progress) -> dict[str, Planned]:
    """The plan of each mirror named (all, if none is), from a store that is opened for reading. Changes nothing.

    Raises SnapmirrorError.
    """
    plans = {}
    with Pipeline() as pipeline:
        pipeline.hold("lock", run_lock(config, reading=True))
        store = pipeline.hold("open the store", open_store(config, read_only=True))
        for mirror in config.select(names):
            history = history_of(store, mirror)
            if (sentence := newest.behind(config, mirror.name, history.snapshots())) is not None:
                log.warning("%s", sentence)
            header = next_header(history, datetime.now(UTC).replace(microsecond=0))
            full = options.full or is_full_due(mirror, history.snapshots(), header)
            plans[mirror.name] = make_plan(mirror, history, header, full=full, progress=progress)
    return plans
