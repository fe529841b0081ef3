"""[mirror.verify]: how soon all that is stored is read back."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from snapmirror.config.section import Section
from snapmirror.config.values import Count, Positive


class VerifyConfig(Section):
    """After each published night a share of all stored contents is read and compared with its checksums."""

    read_all_within_days: Count = Field(
        default=30, description="So that all of it is read within so many days; 0: never.", examples=[30]
    )
    longest_minutes: Positive = Field(
        default=60,
        description="A night reads for no longer; what it does not come to, the next ones read as well.",
        examples=[60],
    )
    heal: Literal["off", "auto"] = Field(
        default="off",
        description="auto: after its reading a night gives damaged files a good copy, as 'verify --found --heal' does.",
        examples=["auto"],
    )
