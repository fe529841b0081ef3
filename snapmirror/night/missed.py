"""Decides which mirrors are due: `run --due`, for machines that are not always on when a night should begin.

A night that ended by itself is not due again, whatever its verdict: a failure is reported, and not tried again until
the next night. A night that was interrupted, or of which nothing is left after a power cut, is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct, field

from snapmirror.config import Config
from snapmirror.errors import ExitCode
from snapmirror.schedule import DailyAt, Every, due
from snapmirror.state.status import MirrorStatus, status

_NOT_BY_ITSELF = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)


class Missed(Struct):
    """Names of mirrors that are due, and when the others will be."""

    due: list[str] = field(default_factory=list)
    later: dict[str, datetime] = field(default_factory=dict)


def missed(config: Config, names: Sequence[str], rule: Every | DailyAt, now: datetime) -> Missed:
    """Those of the named mirrors (all, if none is) that are due. Opens nothing. Raises UsageError for unknown names."""
    chosen = {mirror.name for mirror in config.select(names)}
    found = Missed()
    for mirror in status(config, now).mirrors:
        if mirror.mirror in chosen:
            is_due, at = due(rule, _ended(mirror), now)
            if is_due:
                found.due.append(mirror.mirror)
            else:
                found.later[mirror.mirror] = at
    return found


def _ended(mirror: MirrorStatus) -> datetime | None:
    """The time at which the last night ended by itself; of a good one, that of its snapshot."""
    last_run = mirror.last_run if mirror.exit_code not in _NOT_BY_ITSELF else None
    return max((one for one in (mirror.last_success, last_run) if one is not None), default=None)
