"""The tasks of a run, in order: each says whether it needs the store open or closed.

A task with the store open is done in every round: the first round is for all mirrors, a later one for those whose
server was away. A task with the store closed is done once, after the last round. A new task (dumps, a drill, an
off-site copy) is a function and its place in `TASKS`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from snapmirror import files
from snapmirror.config import Config, MirrorConfig
from snapmirror.errors import (
    ExitCode,
    Interrupted,
    ShareLost,
    SnapmirrorError,
    StuckError,
    StumbledError,
    UnreachableError,
)
from snapmirror.history.open import history_of
from snapmirror.history.unfinished import complete_removal
from snapmirror.model import NOTICE, Progress
from snapmirror.night.night import Night, Options
from snapmirror.pipeline import Pipeline
from snapmirror.snapshots.history import History
from snapmirror.snapshots.record import Snapshot
from snapmirror.state import catalogues, newest, summary
from snapmirror.state.followers import Run
from snapmirror.state.lateness import usual_gap
from snapmirror.state.report import CopyResult, MirrorReport
from snapmirror.storage.open_store import OpenStore

log = logging.getLogger("snapmirror.run")
_ATTEMPTS = 3  # of a night whose source changed during the transfer; what has arrived is not sent again


class Work(Struct):
    """The state shared by all tasks. `away`: mirrors whose server was away, by name, with its time.monotonic()."""

    config: Config
    options: Options
    progress: Progress
    run: Run
    away: dict[str, float] = field(default_factory=dict)


class Round(Struct):
    """The state shared by the tasks of one round, while the store is open for writing. `make_nights` fills `nights`."""

    work: Work
    mirrors: Sequence[MirrorConfig]
    store: OpenStore
    pipeline: Pipeline
    histories: dict[str, History] = field(default_factory=dict)
    nights: list[MirrorReport] = field(default_factory=list)

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.work.config


class WithStoreOpen(Struct, frozen=True):
    """A task of every round. Raises SnapmirrorError when the round must not go on."""

    do: Callable[[Round], None]


class WithStoreClosed(Struct, frozen=True):
    """A task after the last round. Raises SnapmirrorError when the run must not go on; its snapshots stay published."""

    do: Callable[[Work], None]


# --- with the store open


def finish_removals(now: Round) -> None:
    """Finish the removal of whole histories."""
    complete_removal(now.config, now.store)


def make_nights(now: Round) -> None:
    """Make a snapshot of each mirror. One that fails does not stop the others."""
    for mirror in now.mirrors:
        history = now.histories[mirror.name] = history_of(now.store, mirror)
        catalogues.keep(now.config, now.store, {mirror.name: history})
        made = _night(now, mirror, history)
        now.nights.append(made.report)
        now.work.run.report.put(made.report)  # first: what is published is reported, whatever happens later
        if made.report.result == "published":
            _remember_newest(now.config, history, made.report)
            catalogues.keep(now.config, now.store, {mirror.name: history}, newest=made.manifest)
        del made


def trim(now: Round) -> None:
    """Return the space of expired snapshots to the disk below."""
    if any(night.expired for night in now.nights):
        now.store.trim()


def read_back(now: Round) -> None:
    """Read back the stored contents that are due, once every mirror has its snapshot."""
    for mirror, night in zip(now.mirrors, now.nights, strict=True):
        if night.result != "published":
            continue
        history = now.histories[mirror.name]
        noted = history.read_back().exists() or summary.damage_file(now.config).exists()
        if mirror.verify.read_all_within_days or noted:
            from snapmirror.night import read_back as reading  # not at every start, which is counted in milliseconds

            reading.read_back(now.config, mirror, now.store, history, night, now.pipeline, now.work.progress)


def keep_catalogues(now: Round) -> None:
    """Copy the records and manifests, to be read while the store is in use."""
    catalogues.keep(now.config, now.store, now.histories)


def see_space(now: Round) -> None:
    """Record the free space of the store, and below it."""
    now.work.run.space = summary.space_of(now.store, time.time())


# --- with the store closed


def copy_image(work: Work) -> None:
    """Copy the image to its disk, if that is configured after nights. The nights stay good if it fails."""
    if work.config.image_copy is None or not work.config.image_copy.after_night:
        return
    from snapmirror.night.copying import copy_and_remember  # only if configured: a start is counted in milliseconds

    try:
        work.run.report.copy = CopyResult(copy_and_remember(work.config, progress=work.progress))
    except SnapmirrorError as error:
        if isinstance(error, StuckError | Interrupted) and not isinstance(error, ShareLost):
            raise
        work.run.report.copy = CopyResult(error=error.message, hint=error.hint)


TASKS: tuple[WithStoreOpen | WithStoreClosed, ...] = (
    WithStoreOpen(finish_removals),
    WithStoreOpen(make_nights),
    WithStoreOpen(trim),
    WithStoreOpen(read_back),
    WithStoreOpen(keep_catalogues),
    WithStoreOpen(see_space),
    WithStoreClosed(copy_image),
)


# --- a night, as often as it takes


def _night(now: Round, mirror: MirrorConfig, history: History) -> Night:
    work = now.work
    before = work.run.report.of(mirror.name).attempts if mirror.name in work.away else 0
    work.away.pop(mirror.name, None)
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            night = Night(mirror, now.store, history, work.options, now.pipeline, work.progress)
            night.report.attempts = before + 1
            try:
                _check_newest(now.config, mirror, history, work.options)
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
                    work.away[mirror.name] = time.monotonic()
                break
        return night
    finally:
        if snapshots := history.snapshots():
            work.run.last_success[mirror.name] = _success(snapshots)


def _success(snapshots: Sequence[Snapshot]) -> summary.Success:
    """The facts of a mirror's last success that are needed while its store is closed."""
    gap = usual_gap([one.taken_at for one in snapshots])
    return summary.Success(snapshots[0].taken_at.timestamp(), gap.total_seconds() if gap is not None else None)


def _check_newest(config: Config, mirror: MirrorConfig, history: History, options: Options) -> None:
    """Check that this is the known store, before anything is changed, even what a dead run has left."""
    if not options.accept_changes:
        newest.check(config, mirror.name, history.snapshots())
    elif (sentence := newest.behind(config, mirror.name, history.snapshots())) is not None:
        log.log(NOTICE, "%s; going on, as that is accepted", sentence)


def _remember_newest(config: Config, history: History, report: MirrorReport) -> None:
    """Note only what was published: a night that failed, or was refused, proves nothing about the store."""
    try:
        newest.remember(config, report.mirror, history.snapshots()[0])
    except (OSError, files.ForeignError) as error:
        report.warnings.append(f"the newest snapshot cannot be recorded: {files.why(error)}")
        report.exit_code = int(ExitCode.WARNINGS)
