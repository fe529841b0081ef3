"""A run: its rounds, each with the store open for a list of tasks; then the tasks with the store closed; the end.

The tasks are in `tasks`; those who are informed of a run are in `state.followers`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from msgspec import Struct

from snapmirror import interrupts
from snapmirror.config import Config, MirrorConfig
from snapmirror.errors import GOES_ON, GuardError, Interrupted, LockedError, SnapmirrorError, StuckError
from snapmirror.history.open import history_of
from snapmirror.model import NOTICE, Progress
from snapmirror.night import guard
from snapmirror.night.night import Options, is_full_due
from snapmirror.night.planning import Planned, expiring, make_plan, next_header
from snapmirror.night.tasks import TASKS, Round, WithStoreClosed, WithStoreOpen, Work
from snapmirror.pipeline import Pipeline
from snapmirror.snapshots.retention import Expiry
from snapmirror.sources.open import open_source
from snapmirror.state import newest, summary
from snapmirror.state.followers import Follower, Followers, Run
from snapmirror.state.followers.files import Logbook, Metrics, ReportFiles
from snapmirror.state.report import MirrorReport, RunReport
from snapmirror.storage.locks import READER_SECONDS
from snapmirror.storage.open_store import OpenStore, open_store
from snapmirror.storage.run_lock import run_lock

log = logging.getLogger("snapmirror.run")
_A_DAY, _A_MOMENT = 86_400.0, 600.0  # seconds to wait for a lock: if requested; before a mirror is tried again
_LOOK_SECONDS = 1.0


def run_mirrors(config: Config, names: Sequence[str], options: Options, progress: Progress) -> RunReport:
    """Make a snapshot of each mirror named (all, if none is). A mirror that fails does not stop the others.

    Raises SnapmirrorError when the store cannot be opened, locked or released.
    """
    mirrors = config.select(names)
    run = Run(config)
    followers = Followers(run, _followers(config))
    work = Work(config, options, progress, run)
    with ExitStack() as stack:
        stack.enter_context(run.report.listening())
        try:
            stack.enter_context(followers.began())
            _round(work, mirrors, wait=_A_DAY if options.wait else 0)
            _again(work, mirrors, followers)
            followers.so_far(time.time())  # the next tasks may take hours
            for task in TASKS:
                if isinstance(task, WithStoreClosed):
                    task.do(work)
        except SnapmirrorError as error:
            if isinstance(error, Interrupted) and not error.hint:  # (a lost share has one)
                error.hint = GOES_ON
            if isinstance(error, LockedError) and not error.elsewhere:
                raise  # the report belongs to the other run
            _end_with(error, run, mirrors, followers)
            raise
        followers.ended()
    return run.report


def report_failure(config: Config, names: Sequence[str], error: SnapmirrorError) -> None:
    """Write the report of a run that could not write it itself."""
    run = Run(config)
    _end_with(error, run, config.select(names), Followers(run, _of_files()))


def _end_with(error: SnapmirrorError, run: Run, mirrors: Sequence[MirrorConfig], followers: Followers) -> None:
    """Report a run that ends early. Its report will not be shown, so its warnings are logged."""
    for mirror in mirrors[len(run.report.mirrors) :]:
        run.report.mirrors.append(MirrorReport(mirror.name))
        run.report.mirrors[-1].fail(error)
    run.error = error
    followers.so_far(time.time())
    followers.ended()
    for warning in run.report.warnings:
        if warning not in run.report.logged:
            log.warning("%s", warning)


def _followers(config: Config) -> list[Follower]:
    """The followers of a run, in this order: if the host could not be informed, the logbook says so."""
    told: list[Follower] = []
    if config.host is not None:
        from snapmirror.windows.night import HostNight  # not at every start, which is counted in milliseconds

        told.append(HostNight(config))
    return [*told, *_of_files()]


def _of_files() -> list[Follower]:
    return [ReportFiles(), Metrics(), Logbook()]


def _round(work: Work, mirrors: Sequence[MirrorConfig], wait: float) -> None:
    """Open the store, and do the tasks of these mirrors that need it open; wait `wait` seconds for the lock."""
    with Pipeline() as pipeline:
        pipeline.hold("lock", run_lock(work.config, wait=wait))
        store = pipeline.hold("open the store", open_store(work.config, patience=READER_SECONDS))
        now = Round(work, mirrors, store, pipeline)
        for task in TASKS:
            if isinstance(task, WithStoreOpen):
                task.do(now)


def _again(work: Work, mirrors: Sequence[MirrorConfig], followers: Followers) -> None:
    """Further rounds for the mirrors whose server was away: as many as configured, each after its delay."""
    report = work.run.report
    while due := {one.name: _due(work, one) for one in mirrors if _is_waiting(work, one)}:
        work.run.waiting = _waiting(work, mirrors, due)
        followers.so_far(time.time())  # so that a run has a report after a power cut
        work.run.waiting = {}
        first = min(due.values())
        for one in mirrors:
            if one.name in due:
                error, tried = report.of(one.name).error, report.of(one.name).attempts
                log.log(
                    NOTICE, "%s: %s; trying again (%d of %d) in %d s",
                    one.name, error, tried, one.retries, max(0, round(due[one.name] - time.monotonic())),
                )  # fmt: skip
        while (left := first - time.monotonic()) > 0:
            interrupts.check()  # the logging module swallows an interruption that comes while it writes
            time.sleep(min(left, _LOOK_SECONDS))
        ready = [one for one in mirrors if one.name in due and due[one.name] <= time.monotonic()]
        nights = {one.name: report.of(one.name) for one in ready}
        try:
            _round(work, ready, wait=_A_MOMENT)
        except (Interrupted, StuckError):
            raise
        except SnapmirrorError as error:  # somebody has the store open now, or its share was away, too
            untouched = [one for one in ready if report.of(one.name) is nights[one.name]]
            if not untouched:
                raise  # the error came after the nights
            _not_tried(work, untouched, error)


def _waiting(work: Work, mirrors: Sequence[MirrorConfig], due: Mapping[str, float]) -> dict[str, summary.Waiting]:
    """For `status` between two rounds: that the run waits, instead of that it has failed."""
    now, started = time.time(), time.monotonic()
    return {
        one.name: summary.Waiting(
            until=now + due[one.name] - started, tried=work.run.report.of(one.name).attempts, retries=one.retries,
            pid=os.getpid(),
        )
        for one in mirrors
        if one.name in due
    }  # fmt: skip


def _not_tried(work: Work, mirrors: Sequence[MirrorConfig], error: SnapmirrorError) -> None:
    """Record a failure of the store for these mirrors only: what others have published stays published."""
    log.log(NOTICE, "%s", error.message)
    for one in mirrors:
        night = work.run.report.of(one.name)
        night.attempts += 1
        if not isinstance(error, LockedError):
            night.fail(error)
        work.away[one.name] = time.monotonic()


def _is_waiting(work: Work, mirror: MirrorConfig) -> bool:
    return mirror.name in work.away and work.run.report.of(mirror.name).attempts <= mirror.retries


def _due(work: Work, mirror: MirrorConfig) -> float:
    return work.away[mirror.name] + mirror.retry_after.total_seconds()


@contextmanager
def _reading(config: Config) -> Iterator[OpenStore]:
    """The store, open for reading. Raises SnapmirrorError."""
    with Pipeline() as pipeline:
        pipeline.hold("lock", run_lock(config, reading=True))
        yield pipeline.hold("open the store", open_store(config, read_only=True, patience=READER_SECONDS))


class Expiring(Struct, frozen=True):
    """What the next snapshot of a mirror will let expire, and the error that would stop its night because of that."""

    expiry: Expiry
    refusal: SnapmirrorError | None


def expiry_of_mirrors(config: Config, names: Sequence[str]) -> dict[str, Expiring]:
    """What the next snapshot of each mirror named (all, if none is) will let expire; no source is asked.

    Raises SnapmirrorError.
    """
    found = {}
    with _reading(config) as store:
        for mirror in config.select(names):
            history = history_of(store, mirror)
            header = next_header(history, datetime.now(UTC).replace(microsecond=0))
            going, refusal = expiring(mirror, history, header), None
            try:
                guard.check_expiry(mirror, going)
            except GuardError as error:
                refusal = error
            found[mirror.name] = Expiring(going, refusal)
    return found


def plan_mirrors(config: Config, names: Sequence[str], options: Options, progress: Progress) -> dict[str, Planned]:
    """The plan of each mirror named (all, if none is); the store is opened for reading. Changes nothing.

    Raises SnapmirrorError.
    """
    from snapmirror.night.refusals import refusals  # not at every start of a night, which is counted in milliseconds

    plans = {}
    with _reading(config) as store:
        for mirror in config.select(names):
            history = history_of(store, mirror)
            if (sentence := newest.behind(config, mirror.name, history.snapshots())) is not None:
                log.warning("%s", sentence)
            clock = datetime.now(UTC).replace(microsecond=0)
            header = next_header(history, clock)
            full = options.full or is_full_due(mirror, history.snapshots(), header)
            source = open_source(mirror)
            with source.connected():
                planned = make_plan(mirror, source, history, header, full=full, progress=progress)
            planned.refusals = refusals(mirror, store, history, planned, clock)
            plans[mirror.name] = planned
    return plans
