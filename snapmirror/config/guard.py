"""[mirror.guard]: what stops a run."""

from __future__ import annotations

from pydantic import Field

from snapmirror.config.section import Section
from snapmirror.config.values import Count, DaysOrNone, Fraction, Positive, Size


class GuardConfig(Section):
    """What stops a run before it publishes anything. 'run --accept-changes' overrides all limits on changes once."""

    max_deleted: Fraction = Field(
        default=0.30,
        description="Stop when more of the last snapshot's entries than this were deleted.",
        examples=["30%"],
    )
    max_changed: Fraction = Field(
        default=0.50,
        description="Stop when more of the last snapshot's entries than this have changed.",
        examples=["50%"],
    )
    max_lost: Fraction = Field(
        default=0.50,
        description="Stop when more than this of all files, or of all bytes, was deleted or changed within "
        "`within_days`. Moved files do not count, nor do dated files that newer ones have followed.",
        examples=["50%"],
    )
    warn_lost: Fraction = Field(
        default=0.25, description="Above this share, by the same count, the night is published with a warning.",
        examples=["25%"],
    )  # fmt: skip
    within_days: DaysOrNone = Field(
        default=7,
        description="Add up the changes of so many days: compare with the newest snapshot that is so old, else with "
        "the oldest one. 0: compare with the last one.",
        examples=[7],
    )
    max_scrambled: Fraction = Field(
        default=0.50,
        description="Stop when more than this of the replaced files that were readable as text, tables or programs "
        'look random now, as encrypted files do. A sample of 128 is checked. "100%" turns it off.',
        examples=["50%"],
    )
    at_least: Count = Field(
        default=100,
        description="Fewer changed or deleted entries than this never stop a run, except for `at_least_small`.",
        examples=[100],
    )
    at_least_small: Count = Field(
        default=20,
        description="So many files stop a run if they are more than max_lost of the last snapshot's, in one night.",
        examples=[20],
    )
    max_expired: Positive = Field(
        default=3,
        description="Stop when more snapshots than this would expire at once. Those that expire by the last night's "
        "rules too count as one: this limit is for a retention that was made shorter.",
        examples=[3],
    )
    max_entries: Positive = Field(
        default=20_000_000,
        description="Stop listing when the source has more entries; each takes half a kilobyte of memory.",
        examples=[20_000_000],
    )
    min_free: Size = Field(
        default=1 << 30,
        description="Space that a run must leave free on the store and under its image.",
        examples=["1G"],
    )
    min_free_inodes: Count = Field(
        default=10_000,
        description="Inodes that a run must leave free, where the file system counts them.",
        examples=[10_000],
    )
