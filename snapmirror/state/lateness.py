"""When a success is so old that somebody must look: told by how often there usually is one, unless it is configured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median_low

NIGHTLY = timedelta(days=2)  # one night may fail without alarm, two may not
CLOCK_TOLERANCE = timedelta(minutes=1)
"""By so much may a clock be behind the newest snapshot: it may have been set right."""
_MONTH = timedelta(days=31)
LOOKED_AT = 9
"""So many of the newest are looked at: whoever changes the schedule is understood after half of them."""


def usual_gap(moments: Sequence[datetime]) -> timedelta | None:
    """The usual time between successes, given newest first. None as long as there are no two."""
    gaps = [max(later - sooner, timedelta(0)) for later, sooner in pairwise(moments[:LOOKED_AT])]
    if len(gaps) == 1:  # which may be a pause, or a clock that was wrong; nobody is left in the dark for years by it
        return min(gaps[0], _MONTH)
    return median_low(gaps) if gaps else None


def late_after(configured: timedelta | None, gap: timedelta | None) -> timedelta:
    """How old the last success may be: as configured, else two days, or twice the usual gap where that is more."""
    if configured is not None:
        return configured
    return max(NIGHTLY, 2 * gap) if gap is not None else NIGHTLY
