"""[mirror.verify]: how soon all stored files are read back."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from snapmirror.config.section import Section
from snapmirror.config.values import DaysOrNone, Positive


class VerifyConfig(Section):
    """After each published night a part of all stored files is read back and compared with its checksums."""

    read_all_within_days: DaysOrNone = Field(
        default=30, description="Read all files back within so many days; 0: never.", examples=[30]
    )
    longest_minutes: Positive = Field(
        default=60,
        description="A night reads for no longer; the next nights read what is left.",
        examples=[60],
    )
    heal: Literal["off", "auto"] = Field(
        default="off",
        description="auto: after reading back, a night heals damaged files, as 'verify --found --heal' does.",
        examples=["auto"],
    )
