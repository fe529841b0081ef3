"""The ages of snapshots, computed so that a clock that is wrong for a night does not make them older.

A clock may be a year ahead after an empty battery, or because of a forged time server. So a snapshot's age is the sum
of the gaps between the nights since, and a gap counts at most twice the usual one, or a day, for each night in it:
where snapshots have expired in between, the numbers of those around tell how many nights there were. A clock that goes
backwards makes a gap of zero. An attacker who sets the clock of daily nights still needs seven of them to make a
snapshot look fourteen days older.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from statistics import median_low

_DAY = timedelta(days=1)


def ages(clocks: Sequence[datetime], numbers: Sequence[int] | None = None) -> list[timedelta]:
    """The age of each night at the time of the first; `clocks` are the clock's times of the nights, newest first.

    `numbers` are those of the nights; None: no night is missing.
    """
    if not clocks:
        return []
    gaps = [max(later - earlier, timedelta(0)) for later, earlier in pairwise(clocks)]
    nights = [max(1, later - earlier) for later, earlier in pairwise(numbers)] if numbers else [1] * len(gaps)
    most = longest_gap([gap / number for gap, number in zip(gaps[1:], nights[1:], strict=True)])
    counted = (min(gap, most * number) for gap, number in zip(gaps, nights, strict=True))
    return list(accumulate(counted, initial=timedelta(0)))


def longest_gap(usual: Sequence[timedelta]) -> timedelta:
    """The most that a gap counts, if the others are `usual`."""
    return max(_DAY, 2 * median_low(usual)) if usual else _DAY
