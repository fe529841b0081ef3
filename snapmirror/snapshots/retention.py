"""Decides which snapshots are kept: a pure function. Rules vote for those that they keep, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from msgspec import Struct

from snapmirror.snapshots.ages import ages
from snapmirror.snapshots.record import Snapshot


class Rules(Struct, frozen=True):
    """The newest `last` snapshots are kept, and all that are younger than `days`."""

    last: int
    days: int = 0


class Decision(Struct, frozen=True):
    """The decision on one snapshot, and its reason."""

    snapshot: Snapshot
    keep: bool
    reason: str


def decide(snapshots: Sequence[Snapshot], rules: Rules) -> list[Decision]:
    """Decide for each snapshot; `snapshots` are in order, the newest first.

    Kept are those named by `rules`, pinned ones, and the last good one (which read every file) even if newer ones,
    which could not, use up the number.
    """
    reasons = dict(_by_age(snapshots, rules))  # if there are several reasons, the last one added here is shown
    reasons |= _last_good(snapshots)
    reasons |= {one.id: "pinned" for one in snapshots if one.pinned}
    reasons |= _by_number(snapshots, rules)
    gone = f"older than the last {rules.last}"
    if rules.days:
        gone += f", and than {_days(rules.days)}"
    return [Decision(one, one.id in reasons, reasons.get(one.id, gone)) for one in snapshots]


def expired(snapshots: Sequence[Snapshot], rules: Rules) -> list[Decision]:
    """The decisions on those that expire, each with its reason; `snapshots` are all snapshots, newest first."""
    return [decision for decision in decide(snapshots, rules) if not decision.keep]


class Expiry(Struct, frozen=True):
    """The snapshots that a new one would let expire. `at_once` counts them: all that also expire by the rules of the
    last night are one, as an hourly run catches up with the hours of a few failed nights."""

    decisions: list[Decision]
    at_once: int


def expiry(snapshots: Sequence[Snapshot], tonight: Snapshot, rules: Rules) -> Expiry:
    """What expires once `tonight` is published after `snapshots`, the newest of which records the rules of its night.

    If it does not (an older version made it), they are assumed to be the same. The ages do not show whether rules have
    changed: each expiry changes the usual gap.
    """
    there = [tonight, *snapshots]
    before = Rules(*snapshots[0].rules) if snapshots and snapshots[0].rules else rules
    going = expired(there, rules)
    usual = {one.snapshot.id for one in expired(there, before)}
    shorter = sum(one.snapshot.id not in usual for one in going)
    return Expiry(going, shorter + (len(going) > shorter))


def by_age_alone(snapshots: Sequence[Snapshot], rules: Rules) -> int:
    """The number that would expire if their age did not count."""
    return len(expired(snapshots, Rules(rules.last))) - len(expired(snapshots, rules))


def _by_number(snapshots: Sequence[Snapshot], rules: Rules) -> dict[str, str]:
    last = snapshots[: max(1, rules.last)]
    return {one.id: f"number {position} of the last {rules.last}" for position, one in enumerate(last, start=1)}


def _last_good(snapshots: Sequence[Snapshot]) -> dict[str, str]:
    return next(({one.id: "the last one that is complete"} for one in snapshots if not one.degraded), {})


def _by_age(snapshots: Sequence[Snapshot], rules: Rules) -> Iterator[tuple[str, str]]:
    for one, age in zip(snapshots, ages([one.clock_at for one in snapshots]), strict=True):
        if age < timedelta(days=rules.days):
            yield one.id, f"younger than {_days(rules.days)}"


def _days(number: int) -> str:
    return "a day" if number == 1 else f"{number} days"
