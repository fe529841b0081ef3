"""A run: lock, open the store, a night for each mirror, release, report; then the copy of the image, if one is due."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from snapmirror import files, interrupts
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
    UnreachableError,
)
from snapmirror.history.histories import complete_removal
from snapmirror.history.open import history_of
from snapmirror.model import NOTICE, Progress
from snapmirror.night.copying import copy_and_remember
from snapmirror.night.night import Night, Options, is_full_due
from snapmirror.night.planning import Planned, make_plan, next_header
from snapmirror.pipeline import Pipeline
from snapmirror.snapshots.history import History
from snapmirror.snapshots.record import Snapshot
from snapmirror.state import catalogues, logbook, newest, report_files, summary
from snapmirror.state.lateness import usual_gap
from snapmirror.state.report import CopyResult, MirrorReport, RunReport
from snapmirror.storage.locks import READER_SECONDS
from snapmirror.storage.open_store import OpenStore, open_store
from snapmirror.storage.run_lock import run_lock

log = logging.getLogger("snapmirror.run")
_A_DAY, _A_MOMENT = 86_400.0, 600.0  # to wait for a lock: if that is asked for; before a mirror is tried again
_LOOK_SECONDS = 1.0
_ATTEMPTS = 3  # of a night whose source changed under rsync's feet; what has arrived is not sent again


def run_mirrors(config: Config, names: Sequence[str], options: Options, progress: Progress) -> RunReport:
    """Make a snapshot of each mirror named (all, if none is). A mirror that fails does not keep the others from it.

    Raises SnapmirrorError when the store cannot be opened, locked or released.
    """
    mirrors = config.select(names)
    run = _Run(config, options, progress)
    report = run.report
    with ExitStack() as stack:
        stack.enter_context(report.listening())
        tell: Callable[[], None] = _nobody
        try:
            tell = stack.enter_context(_host(config, report))
            run.round(mirrors, wait=_A_DAY if options.wait else 0)
            run.again(mirrors)
        except SnapmirrorError as error:
            if isinstance(error, LockedError) and not error.elsewhere:
                raise  # the report is the other run's
            _fail(report, mirrors, error)
            finished = time.time()
            run.write(finished)
            if not isinstance(error, Interrupted):  # who is stopped, or has lost the host, keeps nobody waiting
                tell()
            if report.warnings:
                run.write(finished)
            for warning in report.warnings:
                if warning not in report.logged:
                    log.warning("%s", warning)
            run.write_down(finished)
            raise
        finished = time.time()
        run.write(finished)
        if config.image_copy is not None and config.image_copy.after_night:
            report.copy = _copied(config, progress)
        tell()
        if report.copy is not None or report.warnings:
            run.write(finished)
        run.write_down(finished)
    return report


class _Run:
    """The rounds of a run: all mirrors, then those again whose server was away. In between the store is closed."""

    def __init__(self, config: Config, options: Options, progress: Progress) -> None:
        self.config, self.options, self.progress = config, options, progress
        self.report = RunReport()
        self.last_success: dict[str, summary.Success] = {}
        self.space: summary.Space | None = None
        self._away: dict[str, float] = {}  # by name, when it was found to be away, as time.monotonic() tells

    def round(self, mirrors: Sequence[MirrorConfig], wait: float) -> None:
        """A night of each; `wait` so many seconds for the lock."""
        nights: list[MirrorReport] = []
        with Pipeline() as pipeline:
            pipeline.hold("lock", run_lock(self.config, wait=wait))
            store = pipeline.hold("open the store", open_store(self.config, patience=READER_SECONDS))
            complete_removal(self.config, store)
            histories: dict[str, History] = {}
            for mirror in mirrors:
                history = histories[mirror.name] = history_of(store, mirror)
                catalogues.keep(self.config, store, {mirror.name: history})
                made = self._one(mirror, store, history, pipeline)
                nights.append(made.report)
                self.report.put(nights[-1])  # before anything else: what is published is told, whatever comes
                if nights[-1].result == "published":
                    _remember_newest(self.config, history, nights[-1])
                    catalogues.keep(self.config, store, {mirror.name: history}, newest=made.manifest)
                del made
            if any(night.expired for night in nights):
                store.trim()
            for mirror, night in zip(mirrors, nights, strict=True):
                _read_back(self.config, mirror, store, night, pipeline, self.progress)
            catalogues.keep(self.config, store, histories)
            self.space = summary.space_of(store, time.time())

    def again(self, mirrors: Sequence[MirrorConfig]) -> None:
        """Try those again whose server was away, as often as is configured, and each after its time."""
        while due := {one.name: self._due(one) for one in mirrors if self._is_waiting(one)}:
            self._write_waiting(mirrors, due)  # a cut of the power leaves no run without a report
            first = min(due.values())
            for one in mirrors:
                if one.name in due:
                    error, tried = self.report.of(one.name).error, self.report.of(one.name).attempts
                    log.log(
                        NOTICE, "%s: %s; trying again (%d of %d) in %d s",
                        one.name, error, tried, one.retries, max(0, round(due[one.name] - time.monotonic())),
                    )  # fmt: skip
            while (left := first - time.monotonic()) > 0:
                interrupts.check()  # the log swallows an interruption that comes while it writes
                time.sleep(min(left, _LOOK_SECONDS))
            ready = [one for one in mirrors if one.name in due and due[one.name] <= time.monotonic()]
            nights = {one.name: self.report.of(one.name) for one in ready}
            try:
                self.round(ready, wait=_A_MOMENT)
            except (Interrupted, StuckError):
                raise
            except SnapmirrorError as error:  # somebody has it open just now; its share was away, too
                untouched = [one for one in ready if self.report.of(one.name) is nights[one.name]]
                if not untouched:
                    raise  # it came after the nights
                self._not_tried(untouched, error)

    def _not_tried(self, mirrors: Sequence[MirrorConfig], error: SnapmirrorError) -> None:
        """What others have published stays published: the store is the trouble of these only."""
        log.log(NOTICE, "%s", error.message)
        for one in mirrors:
            night = self.report.of(one.name)
            night.attempts += 1
            if not isinstance(error, LockedError):
                night.fail(error)
            self._away[one.name] = time.monotonic()

    def write(self, finished: float) -> None:
        """Write the report files, as of `finished`, seconds since 1970."""
        _write(self.report, self.config, finished, self.last_success, self.space)

    def _write_waiting(self, mirrors: Sequence[MirrorConfig], due: Mapping[str, float]) -> None:
        """The same between two rounds, so that `status` tells of a run that waits instead of one that has failed."""
        now, started = time.time(), time.monotonic()
        waiting = {
            one.name: summary.Waiting(
                until=now + due[one.name] - started, tried=self.report.of(one.name).attempts, retries=one.retries,
                pid=os.getpid(),
            )
            for one in mirrors
            if one.name in due
        }  # fmt: skip
        _write(self.report, self.config, now, self.last_success, self.space, waiting)

    def write_down(self, finished: float) -> None:
        """Write a line of the logbook: once, when all is known. Where that fails, the reports tell."""
        if _write_down(self.report, self.config, finished, self.space):
            self.write(finished)

    def _is_waiting(self, mirror: MirrorConfig) -> bool:
        return mirror.name in self._away and self.report.of(mirror.name).attempts <= mirror.retries

    def _due(self, mirror: MirrorConfig) -> float:
        return self._away[mirror.name] + mirror.retry_after.total_seconds()

    def _one(self, mirror: MirrorConfig, store: OpenStore, history: History, pipeline: Pipeline) -> Night:
        before = self.report.of(mirror.name).attempts if mirror.name in self._away else 0
        self._away.pop(mirror.name, None)
        try:
            for attempt in range(1, _ATTEMPTS + 1):
                night = Night(mirror, store, history, self.options, pipeline, self.progress)
                night.report.attempts = before + 1
                try:
                    _check_newest(self.config, mirror, history, self.options)
                    night.run()
                    break
                except Interrupted:
                    raise
                except StumbledError as error:
                    night.report.fail(error)
                    if attempt < _ATTEMPTS:
                        log.log(NOTICE, "%s; trying again", error.message)
                except SnapmirrorError as error:
                    night.report.fail(error)
                    if isinstance(error, UnreachableError):
                        self._away[mirror.name] = time.monotonic()
                    break
            return night
        finally:
            if snapshots := history.snapshots():
                self.last_success[mirror.name] = _success(snapshots)


def _write(
    report: RunReport,
    config: Config,
    finished: float,
    last_success: dict[str, summary.Success],
    space: summary.Space | None,
    waiting: Mapping[str, summary.Waiting] | None = None,
) -> None:
    """Write the report files. Where that fails a night stays what it was, published or stuck: it is a warning."""
    try:
        report_files.write(report, config, finished, last_success, space, waiting)
    except StorageError as error:
        if error.message not in report.warnings:
            report.warnings.append(error.message)


def _write_down(report: RunReport, config: Config, finished: float, space: summary.Space | None) -> bool:
    """Write a line of the logbook. True where that failed, which is a warning now."""
    try:
        logbook.append(config, report, finished, space)
    except (OSError, files.ForeignError) as error:
        log.warning("the logbook cannot be written: %s", _why(error))
    else:
        return False
    return True


@contextmanager
def _host(config: Config, report: RunReport) -> Iterator[Callable[[], None]]:
    """The Windows host, if there is one to ask, kept awake meanwhile; call what this yields when the run is over."""
    if config.host is None:
        yield _nobody
        return
    from snapmirror.windows.night import HostNight  # not at every start, which is counted in milliseconds

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
    finished = time.time()
    _write(report, config, finished, {}, None)
    _write_down(report, config, finished, None)


def _fail(report: RunReport, mirrors: Sequence[MirrorConfig], error: SnapmirrorError) -> None:
    for mirror in mirrors[len(report.mirrors) :]:
        report.mirrors.append(MirrorReport(mirror.name))
        report.mirrors[-1].fail(error)


def _success(snapshots: Sequence[Snapshot]) -> summary.Success:
    """What is to be known of a mirror's last success while its store is closed."""
    gap = usual_gap([one.taken_at for one in snapshots])
    return summary.Success(snapshots[0].taken_at.timestamp(), gap.total_seconds() if gap is not None else None)


def _check_newest(config: Config, mirror: MirrorConfig, history: History, options: Options) -> None:
    """Before anything is changed, what a dead run has left included: is this the store that this machine knows?"""
    if not options.accept_changes:
        newest.check(config, mirror.name, history.snapshots())
    elif (sentence := newest.behind(config, mirror.name, history.snapshots())) is not None:
        log.log(NOTICE, "%s; going on, as that is accepted", sentence)


def _remember_newest(config: Config, history: History, report: MirrorReport) -> None:
    """Only what was published: a night that failed, or was refused, says nothing about the store."""
    try:
        newest.remember(config, report.mirror, history.snapshots()[0])
    except (OSError, files.ForeignError) as error:
        report.warnings.append(f"the newest snapshot cannot be remembered: {_why(error)}")
        report.exit_code = int(ExitCode.WARNINGS)


def _why(error: OSError | files.ForeignError) -> str:
    return error.message if isinstance(error, files.ForeignError) else f"{error.filename}: {error.strerror}"


def _read_back(
    config: Config,
    mirror: MirrorConfig,
    store: OpenStore,
    night: MirrorReport,
    pipeline: Pipeline,
    progress: Progress,
) -> None:
    """What is due of the stored contents is read, once every mirror has its snapshot."""
    if night.result != "published":
        return
    history = history_of(store, mirror)
    noted = history.read_back().exists() or summary.damage_file(config).exists()
    if mirror.verify.read_all_within_days or noted:
        from snapmirror.night.read_back import read_back  # not at every start, which is counted in milliseconds

        read_back(config, mirror, store, night, pipeline, progress)


def plan_mirrors(config: Config, names: Sequence[str], options: Options, progress: Progress) -> dict[str, Planned]:
    """The plan of each mirror named (all, if none is), from a store that is opened for reading. Changes nothing.

    Raises SnapmirrorError.
    """
    from snapmirror.night.refusals import refusals  # not at every start of a night, which is counted in milliseconds

    plans = {}
    with Pipeline() as pipeline:
        pipeline.hold("lock", run_lock(config, reading=True))
        store = pipeline.hold("open the store", open_store(config, read_only=True, patience=READER_SECONDS))
        for mirror in config.select(names):
            history = history_of(store, mirror)
            if (sentence := newest.behind(config, mirror.name, history.snapshots())) is not None:
                log.warning("%s", sentence)
            clock = datetime.now(UTC).replace(microsecond=0)
            header = next_header(history, clock)
            full = options.full or is_full_due(mirror, history.snapshots(), header)
            planned = make_plan(mirror, history, header, full=full, progress=progress)
            planned.refusals = refusals(mirror, store, history, planned, clock)
            plans[mirror.name] = planned
    return plans
