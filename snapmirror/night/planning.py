"""The plan of a night: the source's listing against the newest snapshot's manifest."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from msgspec import Struct, field

from snapmirror.config import MirrorConfig
from snapmirror.errors import ListingError, SnapmirrorError, TransferError
from snapmirror.model import NOTICE, Progress, count
from snapmirror.night import size_limits
from snapmirror.snapshots import entry, times
from snapmirror.snapshots.compare import Doubt, Manifest, compare, in_order
from snapmirror.snapshots.history import History
from snapmirror.snapshots.lines import Line, is_link
from snapmirror.snapshots.manifest import NOTHING, DamagedManifest, Header, Lines, Reader
from snapmirror.snapshots.merge import OutOfOrder
from snapmirror.snapshots.plan import Plan, hold_back_deletions
from snapmirror.snapshots.record import Snapshot, make_id
from snapmirror.snapshots.retention import Expiry, Rules, expiry
from snapmirror.snapshots.times import DiskTimes
from snapmirror.sources import databases
from snapmirror.sources.databases import Databases
from snapmirror.sources.protocol import Listing, Source
from snapmirror.sources.rsync import tree_lines

_DEVICES = frozenset({b"D"})
_CLOCKS_APART = timedelta(seconds=2)
_MOST_NAMES = 10_000  # rsync looks up so many one by one; for more the whole tree is compared

log = logging.getLogger("snapmirror.plan")


class Planned(Struct):
    """A plan and the findings made with it. `partial`: parts of the source could not be listed.

    `refusals` are the errors that would stop a run, if they were requested.
    """

    plan: Plan
    full: bool
    expiry: Expiry
    partial: bool = False
    warnings: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    refusals: Sequence[SnapmirrorError] = ()


def make_plan(
    mirror: MirrorConfig,
    source: Source,
    history: History,
    header: Header,
    *,
    full: bool,
    progress: Progress,
) -> Planned:
    """List the source and compare. Without a usable manifest, the newest snapshot's own tree is listed instead.

    `full`: the source compares itself with that tree as well, which detects changed ACLs and xattrs. Raises
    TransferError, GuardError.
    """
    source.check()
    newest = history.snapshots()[0] if history.snapshots() else None
    warnings: list[str] = []
    marked: set[bytes] = set()
    seen = Databases()
    disk = DiskTimes(history.slot().tree.parent)
    if full and newest is not None:
        marked = source.changed(history.tree(newest), disk.is_nearest)
    try:
        doubt = None if full else _doubt(newest)
        plan, listed = _compare(mirror, source, _manifest(history, newest), header, marked, disk, progress, seen, doubt)
        if newest is not None and (marked := _hidden(mirror, source, history.tree(newest), disk, plan)):
            plan, listed = _compare(mirror, source, _manifest(history, newest), header, marked, disk, progress, seen)
    except DamagedManifest as damage:
        assert newest is not None
        warnings.append(f"{damage.message}; compared with the tree of {newest.id} itself instead")
        marked = marked or source.changed(history.tree(newest), disk.is_nearest)
        rebuilt = _rebuilt(mirror, history.tree(newest), header)
        plan, listed = _compare(mirror, source, rebuilt, header, marked, disk, progress, seen)
        plan.differing = None  # they do not belong to the manifest
    if listed.partial:
        if mirror.on_unreadable == "fail":
            reason = listed.complaints[0] if listed.complaints else "rsync does not say which"
            raise TransferError(
                f"some folders of {mirror.source} could not be read ({reason})",
                hint='exclude them, or set on_unreadable = "publish"',
            )
        hold_back_deletions(plan)
        if plan.held_back:
            warnings.append(
                f"parts of the source could not be listed: {count(len(plan.held_back), 'name')} that may be gone stay"
            )
    warnings += size_limits.warnings(mirror, plan, listed.skipped)
    warnings += databases.warnings(seen.found(), mirror.known_databases)
    if newest is None and os.geteuid() and not mirror.fake_super:
        devices = f", and {count(plan.left_out, 'device')} left out" if plan.left_out else ""
        log.log(
            NOTICE, "%s: without root, only the manifest keeps the owners of files%s; fake_super = true keeps both",
            mirror.name, devices,
        )  # fmt: skip
    going = expiring(mirror, history, header, degraded=listed.partial)
    return Planned(plan, full, going, listed.partial, warnings, listed.complaints)


def next_header(history: History, now: datetime) -> Header:
    """Name and number of the next snapshot: the time `now`, or a second after the last one if that is as new."""
    snapshots = history.snapshots()
    when = max(now, snapshots[0].taken_at + timedelta(seconds=1)) if snapshots else now
    return Header(make_id(when), history.next_sequence())


def expiring(mirror: MirrorConfig, history: History, header: Header, *, degraded: bool = False) -> Expiry:
    """What will expire when the next snapshot is published; `degraded`: it will not be complete."""
    tonight = Snapshot(
        id=header.id, sequence=header.sequence, slot=0, files=0, entries=0, bytes=0, new_bytes=0, degraded=degraded
    )
    return expiry(history.snapshots(), tonight, Rules.of(mirror.retention))


def _doubt(newest: Snapshot | None) -> Doubt | None:
    """The files that may have changed unnoticed since they were fetched: those last changed just before that, or later.

    The server's clock may be two seconds behind ours.
    """
    if newest is None:
        return None
    since = newest.clock_at - _CLOCKS_APART
    return Doubt(newest.sequence, times.printed(int(since.timestamp())))


def _hidden(mirror: MirrorConfig, source: Source, tree: Path, disk: DiskTimes, plan: Plan) -> set[bytes]:
    """The names of a plan's doubtful lines that have really changed: rsync compares fractions of a second."""
    names = [entry.path_of(line) for line in plan.doubtful]
    if not names:
        return set()
    hidden = source.changed(tree, disk.is_nearest, None if len(names) > _MOST_NAMES else names) & set(names)
    if hidden:
        log.info("%s: changed in the second in which it was fetched: %s", mirror.name, count(len(hidden), "file"))
    return hidden


def _manifest(history: History, newest: Snapshot | None) -> Manifest:
    return NOTHING if newest is None else Reader(history.manifest(newest))


def _rebuilt(mirror: MirrorConfig, tree: Path, header: Header) -> Lines:
    """A manifest made from the tree. Each entry gets tonight's number: the inodes' age is unknown."""
    lines = tree_lines(mirror, tree)
    return Lines(sorted(lines, key=lambda line: (is_link(line), entry.path_key(line))), header.sequence)


def _compare(
    mirror: MirrorConfig,
    source: Source,
    old: Manifest,
    header: Header,
    marked: set[bytes],
    disk: DiskTimes,
    progress: Progress,
    seen: Databases,
    doubt: Doubt | None = None,
) -> tuple[Plan, Listing]:
    left_out = _DEVICES if os.geteuid() and not mirror.fake_super else frozenset()
    plan_of = partial(compare, header=header, marked=marked, left_out=left_out, is_nearest=disk.is_nearest, doubt=doubt)
    progress.begin(f"listing {mirror.source}")
    try:
        with closing(old), source.listed(expected=old.totals.entries) as listed:
            return plan_of(old, _watched(listed.blocks, progress, seen)), listed
    except OutOfOrder:
        log.info("the source lists its names in another order than usual; sorting them")
        with (
            closing(old.reopened()) as again,
            source.listed(expected=old.totals.entries) as listed,
        ):
            try:
                return plan_of(again, in_order(_watched(listed.blocks, progress, seen))), listed
            except OutOfOrder:
                raise ListingError(f"{mirror.source} lists a name twice") from None
    finally:
        progress.end()


def _watched(blocks: Iterator[list[Line]], progress: Progress, seen: Databases) -> Iterator[list[Line]]:
    for block in blocks:
        progress.advance(len(block))
        seen.look(block)
        yield block
