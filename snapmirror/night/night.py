"""A night of one mirror, from the listing to the sealed snapshot.

What can fail cheaply fails before anything is changed: the plan and the guards come first, and the slot that is made
meanwhile is not part of history until it is published. Publishing is one call at the very end; after an error anywhere
before it, history is unchanged and the next night uses the slot.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import chain

from msgspec import Struct

from snapmirror.config import MirrorConfig
from snapmirror.errors import (
    ACCEPT,
    ExitCode,
    GuardError,
    Interrupted,
    NoRoomError,
    SnapmirrorError,
    StorageError,
    TransferError,
    denied,
    shortage,
)
from snapmirror.history import room
from snapmirror.model import NOTICE, Progress, count
from snapmirror.night import guard, losses, scrambled, transfer
from snapmirror.night.landing import Landed
from snapmirror.night.odd_times import as_on_disk
from snapmirror.night.planning import Planned, make_plan, next_header
from snapmirror.pipeline import Pipeline
from snapmirror.process import ProgramFailed
from snapmirror.schedule import Every, due
from snapmirror.snapshots import checksums
from snapmirror.snapshots.entry import escape, parse
from snapmirror.snapshots.history import History
from snapmirror.snapshots.lines import is_file
from snapmirror.snapshots.manifest import Header, Reader, rewritten
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.record import Snapshot, make_id
from snapmirror.snapshots.retention import Rules, by_age_alone, expired
from snapmirror.snapshots.slot import Sealed
from snapmirror.snapshots.spool import Spool
from snapmirror.sources.open import open_source
from snapmirror.state.lateness import CLOCK_TOLERANCE
from snapmirror.state.report import MirrorReport
from snapmirror.storage.open_store import OpenStore

log = logging.getLogger("snapmirror.night")
_LOOKS, _LOOK_SECONDS = 20, 0.1
_SEE_LOG = "see the kernel's log"


class Options(Struct, frozen=True):
    """The options of the command line."""

    full: bool = False
    accept_changes: bool = False
    wait: bool = False  # until another run ends


class Night:
    """One run for one mirror. `report` is filled meanwhile."""

    def __init__(
        self,
        mirror: MirrorConfig,
        store: OpenStore,
        history: History,
        options: Options,
        pipeline: Pipeline,
        progress: Progress,
    ) -> None:
        self.mirror, self.store, self.history, self.slot = mirror, store, history, history.slot()
        self.options, self.pipeline, self.progress = options, pipeline, progress
        self.source = open_source(mirror)
        self.report = MirrorReport(mirror.name)
        self.manifest: bytes | None = None  # the published manifest
        self._began = time.monotonic()
        self._to_come = 0  # bytes
        self._clock = datetime.now(UTC).replace(microsecond=0)
        self._accepted = False

    def run(self) -> MirrorReport:
        """Make a snapshot. Raises SnapmirrorError when none was published."""
        try:
            return self._run()
        except NoRoomError as error:
            rules = Rules.of(self.mirror.retention)
            raise guard.with_held(error, by_age_alone(self.history.snapshots(), rules), rules) from None
        except SnapmirrorError:
            raise
        except ProgramFailed as failed:
            raise StorageError(
                f"the store failed: {failed.completed.argv[0]}: {failed.completed.complaint}", hint=_SEE_LOG
            ) from failed
        except Exception as error:
            if (known := shortage(error) or denied(error)) is not None:
                raise known from error
            if not isinstance(error, OSError):
                raise
            raise _storage_error(error) from error

    def _run(self) -> MirrorReport:
        for note in self.history.recover():
            log.info("%s: %s", self.mirror.name, note)
        header = self._header()
        full = self.options.full or is_full_due(self.mirror, self.history.snapshots(), header)
        with ExitStack() as line:
            line.enter_context(self.source.connected())
            planned, whole = self._plan_and_prepare(header, full=full)
            if not whole and not full:
                self.report.warnings.append(
                    "the newest snapshot lacks files that its manifest lists; compared it as a whole"
                )
                planned, _ = self._plan_and_prepare(header, full=True)
            self._note_plan(planned)
            try:
                published = self._fill_and_publish(planned, header, line)
            except SnapmirrorError as error:
                self._pause(error)
                raise
        self.report.result, self.report.snapshot = "published", published.id
        self.report.exit_code = 3 if self.report.warnings else 0
        return self.report

    # --- before anything changes

    def _header(self) -> Header:
        """Name and number of the new snapshot: its time, or a later one if the clock is behind the last snapshot's."""
        snapshots = self.history.snapshots()
        if snapshots and (late := snapshots[0].taken_at - self._clock) > CLOCK_TOLERANCE:
            self.report.warnings.append(
                f"the clock is {late} behind the newest snapshot; this one is dated right after it"
            )
        return next_header(self.history, self._clock)

    def _plan_and_prepare(self, header: Header, *, full: bool) -> tuple[Planned, bool]:
        """List, plan and check the guards, while the slot is prepared at the same time."""
        with self.slot.preparing() as ready:
            try:
                with self.pipeline.step(f"{self.mirror.name}: list and plan"):
                    planned = make_plan(
                        self.mirror, self.source, self.history, header, full=full, progress=self.progress
                    )
                self._ask(lambda: guard.check_changes(self.mirror, planned.plan))
                self._ask(lambda: planned.warnings.extend(self._losses(planned.plan)))
                self._ask(lambda: guard.check_expiry(self.mirror, planned.expiry))
                self._check_room(planned.plan, ready)
            except SnapmirrorError as error:
                if not isinstance(error, Interrupted):  # an interrupted run must not wait for the slot
                    ready()
                    self._leave()
                raise
            with self.pipeline.step(f"{self.mirror.name}: prepare the slot"):
                whole = ready()
            try:  # only now: the slot's folders must be read anyway, the newest snapshot's need not
                if self.history.snapshots():
                    guard.check_names(self.mirror, planned.plan, self.slot.tree)
            except SnapmirrorError:
                self._leave()
                raise
            return planned, whole

    def _leave(self) -> None:
        """Note that the slot is not changed tonight, if that spares the next night the preparation."""
        if self.slot.resuming is not None:
            self.slot.resuming.leave()

    def _losses(self, plan: Plan) -> list[str]:
        return losses.check(self.mirror, self.history, plan, self._clock)

    def _ask(self, check: Callable[[], None]) -> None:
        """Run a guard on changes. If changes are accepted, it only logs what it would have stopped."""
        try:
            check()
        except GuardError as error:
            if not self.options.accept_changes:
                raise
            self._accepted = True
            log.log(NOTICE, "%s: accepted: %s", self.mirror.name, error.message)

    def _check_room(self, plan: Plan, ready: Callable[[], bool]) -> None:
        """Raises NoRoomError. Data fetched by an interrupted night need not be transferred again."""
        self._to_come = plan.counts["bytes"]
        try:
            guard.check_room(self.mirror, self.store, self._to_come, plan.requested)
        except NoRoomError as error:
            ready()
            trusting = self.options.accept_changes
            self._to_come = room.to_come(self.mirror, plan, self.history, self.store, trusting=trusting)
            if not self._has_room(plan) and not self._make_room(plan):
                raise guard.with_largest(error, plan, remote=self.mirror.source.kind != "local") from None

    def _make_room(self, plan: Plan | None = None) -> bool:
        """Discard what this night or an interrupted one has fetched: the next night is worth more."""
        if (resuming := self.slot.resuming) is None:
            return False
        for everything in (False, True):
            resuming.discard(everything=everything)
            if any(self._has_room(plan) for _ in _moments()):
                what = "everything" if everything else "the incomplete files"
                log.info("%s: discarded %s fetched so far, to make room", self.mirror.name, what)
                return True
        return False

    def _has_room(self, plan: Plan | None) -> bool:
        """Whether there is room for the rest of a plan; without one, whether the space that must stay free is free."""
        fetched = self.slot.resuming.fetched() if plan and self.slot.resuming is not None else 0
        needed = (max(0, self._to_come - fetched), plan.requested) if plan else (0, 0)
        try:
            guard.check_room(self.mirror, self.store, *needed)
        except NoRoomError:
            return False
        return True

    def _note_plan(self, planned: Planned) -> None:
        report, counts = self.report, planned.plan.counts
        report.added, report.updated, report.attributes = counts["added"], counts["updated"], counts["attributes"]
        report.linked, report.deleted, report.bytes = counts["linked"], counts["deleted"], counts["bytes"]
        report.full, report.degraded = planned.full, planned.partial
        report.warnings += planned.warnings
        if planned.complaints:
            report.warnings.append("while listing: " + "; ".join(planned.complaints))

    # --- the slot

    def _fill_and_publish(self, planned: Planned, header: Header, line: ExitStack) -> Snapshot:
        """`line` is the connection to the source, which is closed once everything has been fetched."""
        plan, report = planned.plan, self.report
        target = self.slot.stage(plan, self.mirror.clone_above)
        with self.pipeline.step(f"{self.mirror.name}: transfer"):
            self.progress.begin(f"fetching {self.mirror.name}", names=plan.requested, size=report.bytes)
            try:
                landed = transfer.fetch(self.mirror, self.source, plan, target, self.progress.advance, self._watch)
            except NoRoomError as error:
                self._make_room()  # a night that cannot be published must not occupy space that others need
                raise guard.with_largest(error, plan) from None
            finally:
                self.progress.end()
        line.close()
        self._note_landed(landed, plan.requested)
        copies = self.slot.fill(plan, landed.trees, landed.gone, landed.kept_old)
        self._ask(lambda: scrambled.check(self.mirror, self.history, self.slot.tree, plan))
        if (unkept := as_on_disk(plan, landed.corrections, self.slot.tree)) is not None:
            report.warnings.append(unkept)
        with self.pipeline.step(f"{self.mirror.name}: seal"):
            sums = self._checksums(plan, landed, copies)
            manifest = self._manifest(plan, landed, header, copies)
            totals = Reader(manifest).totals
            sharing = chain(target.patch, landed.sharing)
            shared = room.shared_bytes(self.slot.tree, sharing, self.mirror.clone_above or 0)
            self._check_sharing(plan, copies)
            clock, rules = make_id(self._clock), Rules.of(self.mirror.retention)
            snapshot = Snapshot(
                id=header.id, sequence=header.sequence, slot=0,
                files=totals.files, entries=totals.entries, bytes=totals.size, new_bytes=landed.new_bytes,
                shared_bytes=min(shared, landed.new_bytes),
                seconds=round(time.monotonic() - self._began, 3), full=report.full, degraded=report.degraded,
                counts={"added": report.added, "updated": report.updated, "attributes": report.attributes,
                        "linked": report.linked, "deleted": report.deleted},
                warnings=tuple(report.warnings), accepted=self._accepted,
                clock=None if clock == header.id else clock,
                replaced_bytes=self._replaced(plan),
                rules=(rules.last, rules.days), keep=rules.noted(),
            )  # fmt: skip
            expiring = expired([snapshot, *self.history.snapshots()], rules)
            published = self.slot.publish(Sealed(snapshot, manifest, sums), expiring)
            self.manifest = manifest
        for decision in published.expired:
            log.info("%s: %s expired: %s", self.mirror.name, decision.snapshot.id, decision.reason)
        report.expired = [decision.snapshot.id for decision in published.expired]
        report.seconds = round(time.monotonic() - self._began, 3)
        return published.snapshot

    def _replaced(self, plan: Plan) -> int:
        snapshots = self.history.snapshots()
        return losses.replaced_bytes(self.mirror, snapshots[0], plan) if snapshots else 0

    def _pause(self, error: SnapmirrorError) -> None:
        """Keep what this night has fetched for the next one, unless the store itself has failed."""
        if error.exit_code == ExitCode.STORAGE:
            return
        if self.slot.resuming is None:
            return
        try:
            self.slot.resuming.pause()
        except (StorageError, OSError) as problem:
            log.warning(
                "%s: some fetched files may be incomplete; the next run compares them: %s", self.mirror.name, problem
            )

    def _watch(self) -> None:
        guard.check_room(self.mirror, self.store, 0, 0)

    def _note_landed(self, landed: Landed, requested: int) -> None:
        report = self.report
        gone = len(landed.vanished)
        if gone >= self.mirror.guard.at_least and gone > requested / 2 and not self.options.accept_changes:
            raise TransferError(
                f"{gone} of {requested} names vanished from {self.mirror.source} before they were read",
                hint=f"was it unmounted meanwhile? {ACCEPT}",
            )
        report.bytes_transferred, report.bytes_saved = landed.bytes, landed.saved
        report.moved_names, report.moved_bytes = landed.moved_names, landed.moved_bytes
        report.copied_names, report.copied_bytes = landed.copied_names, landed.copied_bytes
        if landed.vanished:
            report.warnings.append(
                f"{count(len(landed.vanished), 'file')} vanished before being read: {_some(landed.vanished)}"
            )
        elif landed.saw_vanishing:
            reasons = "; ".join(landed.complaints[:10]) or "rsync does not say which"
            report.warnings.append(f"files vanished while they were read: {reasons}")
        if landed.partial:
            report.degraded = True
            report.warnings.append("some files could not be read: " + "; ".join(landed.complaints[:10]))
        if landed.kept_old:
            report.warnings.append(f"{len(landed.kept_old)} of them keep their last version: {_some(landed.kept_old)}")

    def _checksums(self, plan: Plan, landed: Landed, copies: Set[bytes]) -> Spool[bytes, bytes]:
        """The checksum of every file with a new number; files whose content was not transferred are read."""
        linked = [parse(new).path for (_, new), _ in plan.links if new is not None and is_file(new)]
        for path in [*landed.unchecked, *linked, *copies]:
            if (checksum := checksums.in_tree(self.slot.tree, path)) is not None:
                landed.checksums.append((checksum, escape(path)))
        return landed.checksums

    def _manifest(self, plan: Plan, landed: Landed, header: Header, copies: Set[bytes]) -> bytes:
        """The manifest as planned, with corrections where the result differs from the plan."""
        corrections = {**plan.corrections, **landed.corrections}
        if not corrections and not copies and not plan.held_back:
            return plan.manifest
        return rewritten(plan.manifest, header, corrections=corrections, renumbered=copies, added=plan.held_back)

    def _check_sharing(self, plan: Plan, copies: Set[bytes]) -> None:
        """Check that a few unchanged files share their space with the last snapshot; else history costs full size."""
        if not self.history.snapshots():
            return
        files = [parse(line).path for line in plan.sample if line not in plan.corrections]
        alone = [path for path in files if path not in copies and not self.slot.is_shared(path)]
        if alone:
            self.report.warnings.append(
                f"{len(alone)} of {len(files)} unchanged files do not share their space with the last snapshot"
            )


def _moments() -> Iterator[None]:
    """Pauses between looks at the free space: XFS frees removed files in the background, so not all is free at once."""
    for _ in range(_LOOKS):
        yield
        time.sleep(_LOOK_SECONDS)


def is_full_due(mirror: MirrorConfig, snapshots: list[Snapshot], header: Header) -> bool:
    """Whether the configuration asks for a full comparison tonight."""
    days = mirror.full_every_days
    if mirror.full or days is None or not snapshots:
        return mirror.full
    full = next((snapshot for snapshot in snapshots if snapshot.full), None)
    if full is None and snapshots[-1].sequence > 1:
        return True  # it has expired: fewer nights are kept than lie between two full ones
    last, now = full or snapshots[-1], datetime.now(UTC)
    if last.taken_at > now:
        return header.sequence - last.sequence >= days  # the clock was ahead then: count nights instead
    # a night that starts a few minutes earlier in the day than the last full one still counts as a week later
    return due(Every(timedelta(days=days), early=timedelta(hours=1)), last.taken_at, now).is_due


def _some(paths: list[bytes], most: int = 5) -> str:
    shown = ", ".join(escape(path).decode("utf-8", "backslashreplace") for path in paths[:most])  # no line breaks
    return f"{shown}, …" if len(paths) > most else shown


def _storage_error(error: OSError) -> SnapmirrorError:
    hint = "make room, or keep fewer snapshots" if error.errno in {errno.ENOSPC, errno.EDQUOT} else _SEE_LOG
    where = f": {os.fsdecode(error.filename)!r}" if error.filename else ""  # it may hold bytes that are not text
    return StorageError(f"the store failed: {error.strerror}{where}", hint=hint)
