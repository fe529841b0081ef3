"""What every section of the configuration is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

Example = dict[str, bool]
SHOWN: Example = {"x-in-sample": True}  # optional, yet written into the sample as a live line


class Section(BaseModel):
    """What all sections share: unknown keys are mistakes, and a loaded configuration does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
