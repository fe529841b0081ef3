"""[mirror.guard]: what stops a run."""

from __future__ import annotations

from pydantic import Field

from snapmirror.config.section import Section
from snapmirror.config.values import Count, Fraction, Positive, Size


class GuardConfig(Section):
    """What stops a run before it publishes anything. 'run --accept-changes' overrides all limits on changes once."""

    max_deleted: Fraction = Field(
        default=0.30, description="Stop when more of the last snapshot's entries than this are gone.", examples=["30%"]
    )
    max_changed: Fraction = Field(
        default=0.50,
        description="Stop when more of the last snapshot's entries than this have changed.",
        examples=["50%"],
    )
    max_lost: Fraction = Field(
        default=0.50,
        description="Stop when more than this of all files, or of all bytes, has gone or changed within `within_days`. "
        "Files that were moved do not count, nor do dated ones that newer ones have followed.",
        examples=["50%"],
    )
    warn_lost: Fraction = Field(
        default=0.25, description="Above this share of the same, the night is published with a warning.",
        examples=["25%"],
    )  # fmt: skip
    within_days: Count = Field(
        default=7,
        description="The changes of so many days add up: tonight is compared with the newest snapshot that is so old, "
        "else with the oldest one. 0: with the last one.",
        examples=[7],
    )
    max_scrambled: Fraction = Field(
        default=0.50,
        description="Stop when more than this of the replaced files that could be read as text, tables or programs "
        'have turned random, as encryption makes them. A sample of 128 is looked at. "100%" turns it off.',
        examples=["50%"],
    )
    at_least: Count = Field(
        default=100,
        description="Fewer changed or deleted entries than this never stop a run, but for `at_least_small`.",
        examples=[100],
    )
    at_least_small: Count = Field(
        default=20,
        description="So many files are enough where they are more than max_lost of the last snapshot's, in one night.",
        examples=[20],
    )
    max_expired: Positive = Field(
        default=3,
        description="Stop when more snapshots than this would expire at once. What goes by the "
        "rules of the last night as well counts as one: this is about retention that was made shorter.",
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
