"""[mirror.retention]: which snapshots are kept."""

from __future__ import annotations

from pydantic import Field

from snapmirror.config.section import SHOWN, Section
from snapmirror.config.values import DaysOrNone, Positive


class RetentionConfig(Section):
    """Which snapshots are kept: those that either option names, pinned ones and the last good one."""

    keep_last: Positive = Field(
        default=16, description="How many of the newest snapshots are kept.", examples=[16], json_schema_extra={**SHOWN}
    )
    keep_at_least_days: DaysOrNone = Field(
        default=14,
        description="No snapshot expires sooner, however many there are. With several runs a day all of them are kept "
        "so long, which takes room. 0: only their number counts.",
        examples=[14],
    )
