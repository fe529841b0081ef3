"""A clock that goes wrong, and right again: nights are published in their order, and say so. Program: faketime."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.fingerprint import compare, fingerprint
from tests.support.runner import Result, Scene
from tests.support.trees import Tree

DATE = "%Y-%m-%dT%H%M%SZ"


def _night_at(scene: Scene, shift: str) -> Result:
    only_the_clock = ["env", "NO_FAKE_STAT=1", "FAKE_UTIME=0"]  # times of files stay as they are
    return scene.command("run", "--json", under=[*only_the_clock, "faketime", "-f", shift])


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    (scene.source / "file").write_text("first")
    Tree(scene.source).settle()
    return scene


def _change(scene: Scene, text: str) -> None:
    (scene.source / "file").write_text(text)
    Tree(scene.source).settle()


def test_a_clock_set_back_keeps_the_order_and_is_said(scene: Scene) -> None:
    ahead = _night_at(scene, "+2d")
    assert ahead.exit_code == 0, str(ahead)
    (future,) = scene.published()
    sealed = fingerprint(scene.slots()[1])
    assert datetime.strptime(future, DATE).replace(tzinfo=UTC) > datetime.now(UTC)
    _change(scene, "second")
    result = scene.night(expect=(3,))
    (said,) = result.json["mirrors"][0]["warnings"]
    assert re.match(r"the clock is (2 days|1 day), [\d:]+ behind the newest snapshot", said), said
    newest, oldest = scene.published()
    assert oldest == future
    assert (scene.slots()[1] / "file").read_text() == "second"
    _change(scene, "third")
    scene.night(expect=(3,))
    assert (scene.slots()[1] / "file").read_text() == "third"
    assert scene.published().keys() > {newest, oldest}  # (asserts that slots and dates agree)
    assert not compare(sealed, fingerprint(scene.slots()[3]))
    listed = scene.command("list", "--json")
    assert [row["slot"] for row in listed.json] == [1, 2, 3], str(listed)


def test_a_clock_that_is_right_again_needs_no_help(scene: Scene) -> None:
    """A night in 1980, as after an empty battery, is the oldest for good; retention counts nights, not days."""
    assert _night_at(scene, "-46y").exit_code == 0
    for text in ("second", "third", "fourth"):
        _change(scene, text)
        assert scene.night().json["mirrors"][0]["warnings"] == []
    assert [(path / "file").read_text() for path in scene.slots().values()] == ["fourth", "third", "second"]


def test_seconds_behind_are_not_worth_a_word(scene: Scene) -> None:
    assert _night_at(scene, "+30s").exit_code == 0
    _change(scene, "second")
    assert scene.night().json["mirrors"][0]["warnings"] == []
    assert (scene.slots()[1] / "file").read_text() == "second"
    assert len(scene.published()) == 2
