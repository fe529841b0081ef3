"""How long the room lasts, at the pace of the last nights.

The pace is the median of the slopes between all pairs of the last thirty nights: a weekly rhythm counts fully, a single
odd value little. It is known from three nights on that span two days; after a purge only later, since there is more
free space than before.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from statistics import median

from snapmirror import files
from snapmirror.config import Config
from snapmirror.state import logbook
from snapmirror.state.summary import Space

_DAY = 86_400.0
_LOOKED_AT = 30
_FEWEST, _SPAN = 3, 2 * _DAY
_LONGEST = 3650.0  # nobody plans further ahead


def days_until_full(config: Config, space: Space | None) -> float | None:
    """Days until the store, or the disk below its image, has no more than min_free left, from the logbook and from
    `space`, the present state. None: unknown, or not to be expected."""
    points: dict[float, tuple[int | None, int | None]] = {}
    with suppress(OSError, files.ForeignError):
        points = {one.finished: (one.store_free, one.disk_free) for one in logbook.entries(config)}
    if space is not None and space.at > max(points, default=0):
        points[space.at] = space.store_free, space.disk_free
    least = config.min_free
    found = []
    for which in (0, 1):
        free = [(moment, known) for moment, both in sorted(points.items()) if (known := both[which]) is not None]
        found += [days] if (days := days_until(free, least)) is not None else []
    return min(found, default=None)


def days_until(points: Sequence[tuple[float, int]], least: int) -> float | None:
    """Days from the last point until no more than `least` bytes are free. None: unknown, or not to be expected.

    `points` are times (seconds since 1970) and the free space then (bytes), oldest first.
    """
    last = list(points)[-_LOOKED_AT:]
    if len(last) < _FEWEST or last[-1][0] - last[0][0] < _SPAN:
        return None
    slopes = [
        (there[1] - here[1]) / (there[0] - here[0])
        for number, here in enumerate(last)
        for there in last[number + 1 :]
        if there[0] > here[0]
    ]
    pace = median(slopes) * _DAY if slopes else 0.0
    if pace >= 0:
        return None
    days = max(0.0, (last[-1][1] - least) / -pace)
    return days if days <= _LONGEST else None
