"""The plan of a night: the source's listing against the newest snapshot's manifest."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from snapmirror.config import MirrorConfig
from snapmirror.errors import TransferError
from snapmirror.mirror import listing
from snapmirror.model import Progress
from snapmirror.snapshots import entry
from snapmirror.snapshots.manifest import NOTHING, DamagedManifest, Header, Lines, Reader
from snapmirror.snapshots.merge import OutOfOrder
from snapmirror.snapshots.plan import Manifest, Plan, compare, hold_back_deletions, in_order
from snapmirror.snapshots.protocol import SnapshotStore
from snapmirror.snapshots.record import Snapshot

_DEVICES = frozenset({b"D"})

log = logging.getLogger("snapmirror.plan")


@dataclass
class Planned:
    """A plan and what was noticed while it was made. `partial`: parts of the source could not be listed."""

    plan: Plan
    full: bool
    partial: bool = False
    warnings: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def make_plan(
    mirror: MirrorConfig, history: SnapshotStore, header: Header, *, full: bool, progress: Progress
) -> Planned:
    """List the source and compare. Without a usable manifest, the newest snapshot's own tree is listed instead.

    `full` compares the source with that tree by rsync as well, which sees changed ACLs and xattrs.
    Raises TransferError, GuardError.
    """
    newest = history.snapshots()[0] if history.snapshots() else None
    warnings: list[str] = []
    marked: set[bytes] = set()
    with nowhere() as place:
        if full and newest is not None:
            marked = listing.changed_names(mirror, history.tree(newest))
        try:
            plan, listed = _compare(mirror, _manifest(history, newest), header, marked, place, progress)
        except DamagedManifest as damage:
            assert newest is not None
            warnings.append(f"{damage.message}; compared with the tree of {newest.id} itself instead")
            log.warning("%s", warnings[-1])
            lines = _rebuilt(mirror, history.tree(newest), header, place)
            marked = marked or listing.changed_names(mirror, history.tree(newest))
            plan, listed = _compare(mirror, lines, header, marked, place, progress)
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
                f"parts of the source could not be listed: {len(plan.held_back)} names that may be gone are kept"
            )
    if newest is None and os.geteuid() and not mirror.fake_super:
        devices = f", and {plan.left_out} devices are left out" if plan.left_out else ""
        log.warning(
            "%s: without root the owners of files stand in the manifest only%s; fake_super = true keeps both",
            mirror.name, devices,
        )  # fmt: skip
    return Planned(plan, full, listed.partial, warnings, listed.complaints)


@contextmanager
def nowhere() -> Iterator[Path]:
    """A path at which there is nothing, for rsync to compare with."""
    with tempfile.TemporaryDirectory(prefix="snapmirror-") as folder:
        yield Path(folder) / "nothing"


def _manifest(history: SnapshotStore, newest: Snapshot | None) -> Manifest:
    return NOTHING if newest is None else Reader(history.manifest(newest))


def _rebuilt(mirror: MirrorConfig, tree: Path, header: Header, place: Path) -> Lines:
    """A manifest made of the tree. Tonight's number for each entry: nothing is known of the inodes' age."""
    lines = listing.list_tree(mirror, tree, place).lines()
    return Lines(sorted(lines, key=lambda line: (line[:1] == b"h", entry.path_key(line))), header.sequence)


def _compare(
    mirror: MirrorConfig, old: Manifest, header: Header, marked: set[bytes], place: Path, progress: Progress
) -> tuple[Plan, listing.Listing]:
    listed = listing.list_source(mirror, place)
    left_out = _DEVICES if os.geteuid() and not mirror.fake_super else frozenset()
    progress.begin(f"listing {mirror.source}")
    try:
        blocks = _counted(listed.blocks, progress)
        return compare(old, blocks, header, marked=marked, left_out=left_out), listed
    except OutOfOrder:
        log.info("the source lists its names in another order than usual; sorting them")
        listed = listing.list_source(mirror, place)
        again = old.reopened() if isinstance(old, Reader) else old
        return compare(again, in_order(listed.blocks), header, marked=marked, left_out=left_out), listed
    finally:
        progress.end()


def _counted(blocks: Iterator[list[bytes]], progress: Progress) -> Iterator[list[bytes]]:
    for block in blocks:
        progress.advance(len(block))
        yield block
