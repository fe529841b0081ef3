"""[mirror.retention]: which snapshots are kept."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, StrictInt, WithJsonSchema

from snapmirror.config.section import SHOWN, Section
from snapmirror.config.values import Bool, DaysOrNone, Positive
from snapmirror.span import Span


def _span(value: Any) -> Span:
    if isinstance(value, Span):
        return value
    if not isinstance(value, str):
        raise ValueError('write a length of time in quotes: "48h", "30d", "8w", "6m" or "1y2m"')
    return Span.parse(value)


LengthOfTime = Annotated[
    Span, PlainValidator(_span), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]


class HanoiConfig(Section):
    """Ages that double: of 5 discs, about 1, 2, 4, 8 and 16 snapshots, counted by snapshots and not by days."""

    discs: Annotated[StrictInt, Field(ge=2, le=30)] = Field(
        description="How many snapshots are kept so: every second goes on the first disc, every fourth on the next.",
        examples=[5],
    )
    archive_oldest: Bool = Field(
        default=False, description="What would leave the last disc is kept for good.", examples=[True]
    )


class CycleConfig(Section):
    """Groups of snapshots that expire together: the oldest group goes when a new one begins."""

    fulls: Positive = Field(description="How many groups are kept, with the one that is being filled.", examples=[2])
    diffs: Annotated[StrictInt, Field(ge=0, le=100_000)] = Field(
        description="How many snapshots a group has after its first.", examples=[6]
    )


class RetentionConfig(Section):
    """Which snapshots are kept: those that any option here names, and pinned ones."""

    keep_last: Positive = Field(
        default=16, description="How many of the newest snapshots are kept.", examples=[16], json_schema_extra={**SHOWN}
    )
    keep_at_least_days: DaysOrNone = Field(
        default=14,
        description="No snapshot expires sooner, however many there are. With several runs a day all of them are kept "
        "so long, which takes room. 0: only the other rules count.",
        examples=[14],
    )
    keep_within: LengthOfTime | None = Field(
        default=None, description="All snapshots of so long before the newest: h, d, w, m (months), y.",
        examples=["48h"],
    )  # fmt: skip
    keep_hourly: DaysOrNone = Field(
        default=0, description="The last snapshot of each of so many hours that have one.", examples=[24]
    )
    keep_daily: DaysOrNone = Field(
        default=0, description="The last one of each of so many days, in the time zone of this machine.", examples=[7]
    )
    keep_weekly: DaysOrNone = Field(
        default=0, description="The last one of each of so many weeks, which begin on Monday.", examples=[8]
    )
    keep_monthly: DaysOrNone = Field(default=0, description="The last one of each of so many months.", examples=[12])
    keep_yearly: DaysOrNone = Field(default=0, description="The last one of each of so many years.", examples=[3])
    keep_good: Positive = Field(
        default=1, description="So many of the newest complete snapshots stay, whatever the rest says.", examples=[3]
    )
    hanoi: HanoiConfig | None = Field(default=None, description="Ages that double.")
    cycle: CycleConfig | None = Field(default=None, description="Groups that expire together.")
