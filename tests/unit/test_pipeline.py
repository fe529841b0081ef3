"""What a run holds: noted when it is taken and when it is released, and when neither goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from snapmirror.errors import StuckError
from snapmirror.pipeline import Pipeline


@contextmanager
def layer(fails: str) -> Iterator[None]:
    if fails == "in":
        raise StuckError("it still stands")
    yield
    if fails == "out":
        raise StuckError("it still stands")


def edges(fails: str) -> list[str]:
    pipeline = Pipeline()
    with pytest.raises(StuckError), pipeline:
        pipeline.hold("one", layer(""))
        pipeline.hold("two", layer(fails))
    return [f"{step.name} {step.state}" for step in pipeline.steps]


def test_what_is_stuck_is_noted_on_the_way_in_as_on_the_way_out() -> None:
    assert edges("out") == ["one done", "two done", "two stuck", "one stuck"]
    assert edges("in") == ["one done", "two stuck", "one stuck"]
