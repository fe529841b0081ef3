"""The checks that stop a night before it changes anything: too much deleted or changed at once, too little room."""

from __future__ import annotations

import os
from heapq import nlargest
from pathlib import Path

from snapmirror.config import GuardConfig, MirrorConfig
from snapmirror.errors import ACCEPT, GuardError, ListingError, NoRoomError
from snapmirror.model import size
from snapmirror.snapshots import losses
from snapmirror.snapshots.entry import parse, path_of, size_of
from snapmirror.snapshots.lines import is_file, unnumbered
from snapmirror.snapshots.manifest import Reader
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.retention import Expiry, Rules
from snapmirror.storage.open_store import OpenStore


def check_changes(mirror: MirrorConfig, plan: Plan) -> None:
    """Raises GuardError when the plan looks like an unmounted source, or like ransomware."""
    guard, counts = mirror.guard, plan.counts
    if plan.totals.entries <= 1 and (plan.old_entries != 1):
        raise GuardError(f"{mirror.source} is empty", hint=f"is it mounted? {ACCEPT}")
    if not plan.old_entries:
        return
    deleted, changed = counts["deleted"], counts["updated"] + counts["attributes"]
    if deleted > guard.max_deleted * plan.old_entries or changed > guard.max_changed * plan.old_entries:
        excused = losses.of_plan(plan)  # files that were only moved, rotated, or replaced by the next release or dump
        deleted, changed = deleted - excused.excused_gone, changed - excused.excused_changed
    _check_share(guard, deleted, guard.max_deleted, plan.old_entries, "are gone", "max_deleted")
    _check_share(guard, changed, guard.max_changed, plan.old_entries, "have changed", "max_changed")


def _check_share(guard: GuardConfig, count: int, limit: float, total: int, what: str, option: str) -> None:
    if count >= guard.at_least and count > limit * total:
        raise GuardError(
            f"{count} of {total} entries {what}: more than {option} = {limit:.0%} allows",
            hint=f"look at 'snapmirror plan'; {ACCEPT}",
        )


def check_expiry(mirror: MirrorConfig, expiry: Expiry) -> None:
    """Raises GuardError when retention was shortened so much that many snapshots would expire at once.

    Ordinary expiry is not stopped: one snapshot each night, and after a pause those that became too old meanwhile.
    """
    if expiry.at_once > mirror.guard.max_expired:
        raise GuardError(
            f"{len(expiry.decisions)} snapshots would expire at once: more than max_expired = "
            f"{mirror.guard.max_expired} allows",
            hint=f"[mirror.retention] keeps fewer now; 'snapmirror plan' lists them; {ACCEPT}",
        )


def check_names(mirror: MirrorConfig, plan: Plan, slot: Path) -> None:
    """Raises ListingError when the source lists one name as a folder and as something else: no tree can have that.

    `slot` has the newest snapshot's names. Such a name exists there, although the plan says that it is new.
    """
    tree = Tree(slot)
    deleted = {parse(unnumbered(line)).path for line in plan.delete}
    added = (parse(new).path for old, new in plan.pairs() if old is None and new is not None)
    suspects = {path for path in added if path not in deleted and tree.inode(path) is not None}
    if not suspects:
        return
    seen: set[bytes] = set()
    for path in (path_of(unnumbered(line)) for line in Reader(plan.manifest)):
        if path in seen:
            raise ListingError(f"{mirror.source} lists {path!r} both as a folder and as something else")
        if path in suspects:
            seen.add(path)


def check_room(mirror: MirrorConfig, store: OpenStore, needed_bytes: int, needed_inodes: int) -> None:
    """Raises NoRoomError when the store, or the disk under its image, has too little room for the night."""
    guard = mirror.guard
    below = store.backing_free_bytes()
    for free, where in ((store.free_bytes(), f"{store.path}"), (below, "the disk below the image")):
        if free is not None and free - needed_bytes < guard.min_free:
            to_come = f"{size(needed_bytes)} are to come, but " if needed_bytes else ""
            raise NoRoomError(
                f"{to_come}{where} has {size(free)} left, of which {size(guard.min_free)} stay free (min_free)",
                hint="make room, keep fewer snapshots, or lower min_free",
            )
    inodes = store.free_inodes()
    if inodes is not None and inodes - needed_inodes < guard.min_free_inodes:
        raise NoRoomError(
            f"{needed_inodes} inodes are needed, but {store.path} has {inodes} left, of which "
            f"{guard.min_free_inodes} stay free (min_free_inodes)",
            hint="keep fewer snapshots, or use xfs, which has no limit",
        )


def with_largest(error: NoRoomError, plan: Plan, most: int = 3, *, remote: bool = False) -> NoRoomError:
    """The error with the largest files of the plan added: any user of the server can make a sparse file of any size."""
    new = (line for _, line in plan.pairs() if line is not None and is_file(line))
    largest = [parse(line) for line in nlargest(most, new, key=size_of) if size_of(line)]
    if not largest:  # too many names without content
        return error
    names = ", ".join(f"{os.fsdecode(one.path)!r} ({size(one.size)})" for one in largest)
    sparse = "; if they are sparse, run again with --accept-changes" if remote else ""
    return NoRoomError(error.message, hint=f"{error.hint}; the largest: {names} (exclude, max_size){sparse}")


def with_held(error: NoRoomError, held: int, rules: Rules) -> NoRoomError:
    """The error with the number of snapshots added that are kept only because of their age."""
    if not held:
        return error
    stay = "one snapshot stays" if held == 1 else f"{held} snapshots stay"
    return NoRoomError(
        error.message,
        hint=f"{error.hint}; {stay} beyond keep_last = {rules.last} because of keep_at_least_days = {rules.days}",
    )
