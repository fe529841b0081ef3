"""The votes of the rules: which snapshots each wants to keep, and why. Pure functions of the snapshots and a zone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, tzinfo

from snapmirror.snapshots.ages import ages
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.retention.rules import Cycle, Hanoi, Rules

Vote = tuple[Snapshot, str]
"""A snapshot that a rule keeps, and its reason."""

_PERIODS: dict[str, tuple[str, Callable[[datetime], tuple[int, ...]], str]] = {
    "hourly": ("hour", lambda at: (at.year, at.month, at.day, at.hour), "%Y-%m-%d %H:00"),
    "daily": ("day", lambda at: (at.year, at.month, at.day), "%Y-%m-%d"),
    "weekly": ("week", lambda at: at.isocalendar()[:2], "%G-W%V"),
    "monthly": ("month", lambda at: (at.year, at.month), "%Y-%m"),
    "yearly": ("year", lambda at: (at.year,), "%Y"),
}


def votes(snapshots: Sequence[Snapshot], rules: Rules, zone: tzinfo | None) -> Iterator[Vote]:
    """All votes, the most telling reason of a snapshot first; `snapshots` are in order, the newest first.

    Periods are those of `zone`; None: of this machine.
    """
    yield from _by_number(snapshots, rules)
    yield from ((one, "pinned") for one in snapshots if one.pinned)
    yield from _good(snapshots, rules.good)
    if rules.hanoi is not None:
        yield from _hanoi(snapshots, rules.hanoi)
    if rules.cycle is not None:
        yield from _cycle(snapshots, rules.cycle)
    local = [one.taken_at.astimezone(zone) for one in snapshots]
    for name in _PERIODS:
        yield from _period(snapshots, local, name, getattr(rules, name))
    yield from _by_age(snapshots, local, rules)


def _by_number(snapshots: Sequence[Snapshot], rules: Rules) -> Iterator[Vote]:
    for position, one in enumerate(snapshots[: max(1, rules.last)], start=1):
        yield one, f"number {position} of the last {rules.last}"


def _good(snapshots: Sequence[Snapshot], number: int) -> Iterator[Vote]:
    """At least the last complete one, which read every file, even if newer ones, which could not, use up the number."""
    complete = [one for one in snapshots if not one.degraded]
    for position, one in enumerate(complete[: max(1, number)], start=1):
        yield one, "the last one that is complete" if number <= 1 else f"complete: number {position} of {number}"


def _hanoi(snapshots: Sequence[Snapshot], hanoi: Hanoi) -> Iterator[Vote]:
    seen: set[int] = set()
    for one in snapshots:
        disc = hanoi.disc(one.sequence)
        is_archived = hanoi.archive and disc == hanoi.discs - 1
        if disc not in seen or is_archived:
            seen.add(disc)
            yield one, f"{'archived, ' if is_archived else ''}disc {disc + 1} of {hanoi.discs} (hanoi)"


def _cycle(snapshots: Sequence[Snapshot], cycle: Cycle) -> Iterator[Vote]:
    """By groups that are there, so that one which was missed as a whole does not shorten the history."""
    groups = list(dict.fromkeys(cycle.group(one.sequence) for one in snapshots))[: cycle.fulls]
    for one in snapshots:
        if (group := cycle.group(one.sequence)) in groups:
            yield one, f"cycle {groups.index(group) + 1} of the last {cycle.fulls}"


def _period(snapshots: Sequence[Snapshot], local: Sequence[datetime], name: str, number: int) -> Iterator[Vote]:
    """The newest one of each of the last `number` periods that have one."""
    what, period, form = _PERIODS[name]
    last: tuple[int, ...] | None = None
    for one, at in zip(snapshots, local, strict=True):
        if number <= 0:
            return
        if (this := period(at)) != last:
            last, number = this, number - 1
            yield one, f"last of the {what} {at:{form}} (keep_{name})"


def _by_age(snapshots: Sequence[Snapshot], local: Sequence[datetime], rules: Rules) -> Iterator[Vote]:
    limits = []
    if rules.days:
        limits.append((timedelta(days=rules.days), f"younger than {days(rules.days)}"))
    if rules.within is not None and local:
        try:
            limits.append((local[0] - rules.within.before(local[0]), f"within {rules.within} of the newest"))
        except OverflowError:
            limits.append((timedelta.max, f"within {rules.within} of the newest"))
    if limits:
        passed = ages([one.clock_at for one in snapshots], [one.sequence for one in snapshots])
        for one, age in zip(snapshots, passed, strict=True):
            yield from ((one, reason) for limit, reason in limits if age < limit)


def days(number: int) -> str:
    """A day, 14 days."""
    return "a day" if number == 1 else f"{number} days"
