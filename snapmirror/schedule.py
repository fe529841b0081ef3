"""When something is due: one pure function for full nights, for reading back, and for `run --due`.

It is a layer below all its callers: reading back belongs to the snapshots, which must not import nights.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from msgspec import Struct


class Every(Struct, frozen=True):
    """Once in each `interval`; a run that is at most `early` sooner is on time."""

    interval: timedelta
    early: timedelta = timedelta(0)


class DailyAt(Struct, frozen=True):
    """Every day at this time of the local clock: the rule of cron, and of the helper VM's catch-up."""

    time: time


class Due(NamedTuple):
    """Whether it is due, and since when; else when it will be."""

    is_due: bool
    at: datetime


def due(rule: Every | DailyAt, last: datetime | None, now: datetime) -> Due:
    """Whether something that was done `last` (None: never) is due, and since when; else when it will be.

    Both times have a zone. If `last` is in the future, because a clock was ahead, it is due by `Every`: otherwise
    nothing would be done for years. By `DailyAt` it counts as done today, and is due tomorrow.
    """
    if isinstance(rule, Every):
        at = now if last is None or last > now else last + rule.interval - rule.early
        return Due(at <= now, at)
    here = now.astimezone()
    at = _local(here.date(), rule.time)
    if at > here:
        at = _local(here.date() - timedelta(days=1), rule.time)
    if last is None or last < at:
        return Due(True, at)
    return Due(False, _local(at.date() + timedelta(days=1), rule.time))


def _local(day: date, moment: time) -> datetime:
    return datetime.combine(day, moment).astimezone()
