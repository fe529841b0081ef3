"""Which snapshots stay: a pure function, with a reason for each decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snapmirror.snapshots.record import Snapshot


@dataclass(frozen=True)
class Decision:
    """What becomes of one snapshot, and why."""

    snapshot: Snapshot
    keep: bool
    reason: str


def decide(snapshots: Sequence[Snapshot], *, keep_last: int) -> list[Decision]:
    """Decide for each snapshot; `snapshots` are in order, the newest first.

    Kept are the last `keep_last`, pinned ones, and the last good one (which read every file) even if newer ones, that
    could not, fill the number.
    """
    last_good = next((snapshot.id for snapshot in snapshots if not snapshot.degraded), None)
    decisions = []
    for position, snapshot in enumerate(snapshots, start=1):
        if position <= max(1, keep_last):
            decisions.append(Decision(snapshot, True, f"number {position} of the last {keep_last}"))
        elif snapshot.pinned:
            decisions.append(Decision(snapshot, True, "pinned"))
        elif snapshot.id == last_good:
            decisions.append(Decision(snapshot, True, "the last one that is complete"))
        else:
            decisions.append(Decision(snapshot, False, f"older than the last {keep_last}"))
    return decisions
