"""The base class of every section of the configuration."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict

Example = dict[str, bool]
SHOWN: Example = {"x-in-sample": True}  # optional, yet written into the sample as a live line


class Section(BaseModel):
    """What all sections share: unknown keys are mistakes, and a loaded configuration does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def section_of(annotation: Any) -> type[Section] | None:
    """The section in an annotation: itself, or inside a tuple or an optional."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_of(part))), None)
