"""When the last success is too old: from the usual time between successes, unless it is configured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median_low

NIGHTLY = timedelta(days=2)  # one failed night is no alarm, two are
CLOCK_TOLERANCE = timedelta(minutes=1)
"""A clock may be behind the newest snapshot by so much: it may have been corrected."""
_MONTH = timedelta(days=31)
LOOKED_AT = 9
"""So many of the newest are used: a changed schedule takes effect after half of them."""


def usual_gap(moments: Sequence[datetime]) -> timedelta | None:
    """The usual time between successes, given newest first. None if there are fewer than two."""
    gaps = [max(later - sooner, timedelta(0)) for later, sooner in pairwise(moments[:LOOKED_AT])]
    if len(gaps) == 1:  # it may be a pause, or from a wrong clock; it must not silence the alarm for years
        return min(gaps[0], _MONTH)
    return median_low(gaps) if gaps else None


def late_after(configured: timedelta | None, gap: timedelta | None) -> timedelta:
    """How old the last success may be: as configured, else two days, or twice the usual gap if that is more."""
    if configured is not None:
        return configured
    return max(NIGHTLY, 2 * gap) if gap is not None else NIGHTLY
