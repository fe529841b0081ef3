"""The ages of snapshots, computed so that a clock that is wrong for a night does not make them older.

A clock may be a year ahead after an empty battery, or because of a forged time server. So a snapshot's age is the sum
of the gaps between the nights since, and a gap counts at most twice the usual one, or a day. A clock that goes
backwards makes a gap of zero. An attacker who sets the clock of daily nights still needs seven of them to make a
snapshot look fourteen days older.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from statistics import median_low

_DAY = timedelta(days=1)


def ages(clocks: Sequence[datetime]) -> list[timedelta]:
    """The age of each night at the time of the first; `clocks` are the clock's times of the nights, newest first."""
    if not clocks:
        return []
    gaps = [max(later - earlier, timedelta(0)) for later, earlier in pairwise(clocks)]
    most = longest_gap(gaps[1:])
    return list(accumulate((min(gap, most) for gap in gaps), initial=timedelta(0)))


def longest_gap(usual: Sequence[timedelta]) -> timedelta:
    """The most that a gap counts, if the others are `usual`."""
    return max(_DAY, 2 * median_low(usual)) if usual else _DAY
