"""A clock that goes wrong, and right again: nights are published in their order, and say so."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.conftest import Figures
from tests.support.clock import shifted
from tests.support.fingerprint import compare, fingerprint
from tests.support.runner import LONG, Result, Scene
from tests.support.trees import Tree

DATE = "%Y-%m-%dT%H%M%SZ"


def _at(scene: Scene, shift: str, *words: str) -> Result:
    return scene.command(*words, under=shifted(shift))


def _night_at(scene: Scene, shift: str) -> Result:
    return _at(scene, shift, "run", "--json")


def _shift(moment: datetime) -> str:
    """How far from now, in seconds: that is the same in every zone."""
    return f"{moment.timestamp() - datetime.now(UTC).timestamp():+.0f}"


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


ZONES = {
    "Europe/Berlin": (date(2027, 3, 28), date(2027, 10, 31)),
    "America/St_Johns": (date(2027, 3, 14), date(2027, 11, 7)),
    "Australia/Lord_Howe": (date(2027, 4, 4), date(2027, 10, 3)),  # by half an hour
}
NIGHTLY = {"Europe/Berlin": time(2, 15), "America/St_Johns": time(1, 45), "Australia/Lord_Howe": time(1, 45)}


def _moments(zone: str) -> list[datetime]:
    """When cron starts the nights of a year, or those around both changes; twice where a local time is there twice."""
    days = [date(2027, 1, 1) + timedelta(days=day) for day in range(366)]
    near = [day for day in days if LONG or any(abs((day - change).days) <= 1 for change in ZONES[zone])]
    locals_ = (datetime.combine(day, NIGHTLY[zone], tzinfo=ZoneInfo(zone)) for day in near)
    found = sorted({one.replace(fold=fold).astimezone(UTC) for one in locals_ for fold in (0, 1)})
    assert len(found) > len(near), "a night that is there twice"
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_local_nights(scene: Scene, zone: str, figures: Figures) -> None:
    """Snapshots are named in UTC: whatever local time does, each night is one, in order, and none is late."""
    scene.environment["TZ"] = zone
    scene.configure(keep_last=9, full_every_days=7)
    moments, full, expected = _moments(zone), list[datetime](), list[str]()
    for number, moment in enumerate(moments):
        _change(scene, f"night {number}")
        result = _night_at(scene, _shift(moment))
        assert result.exit_code == 0 and result.mirror["warnings"] == [], str(result)
        if result.mirror["full"]:
            full.append(moment)
        expected = [result.mirror["snapshot"], *expected]
        assert expected == sorted(expected, reverse=True) and len(set(expected)) == len(expected)
        assert list(scene.published()) == expected[:9]
        assert abs(datetime.strptime(expected[0], DATE).replace(tzinfo=UTC) - moment) < timedelta(minutes=5), moment
    told = _at(scene, _shift(moments[-1] + timedelta(hours=30)), "status")
    assert told.exit_code == 0 and "all is well" in told.stdout, str(told)
    late = _at(scene, _shift(moments[-1] + timedelta(hours=49)), "status")
    assert late.exit_code == 3 and "2 days old" in late.stdout, str(late)
    gaps = [after - before for before, after in pairwise(full)]
    assert full and all(gap > timedelta(days=7) - timedelta(hours=2) for gap in gaps), gaps
    assert not LONG or all(gap < timedelta(days=8, hours=2) for gap in gaps), gaps
    figures.add(f"clock: {zone}: {len(moments)} nights, {len(full)} full ones, in order, 0 warnings")


def test_a_clock_that_is_some_hours_behind(scene: Scene) -> None:
    """It was "0 days ahead"."""
    assert _night_at(scene, "+3h").exit_code == 0
    told = scene.command("status")
    assert told.exit_code == 3 and "is dated 2 h 59 min ahead of the clock" in told.stdout, str(told)


def test_two_nights_within_a_second_are_of_now(scene: Scene) -> None:
    assert (
        _night_at(scene, "+30").exit_code == 0
    )  # more than a machine under load falls behind, less than a wrong clock
    for words in (["list"], ["status"]):
        told = scene.command(*words)
        assert (told.exit_code, "in the future" in told.stdout + told.stderr) == (0, False), str(told)


def test_a_clock_that_was_a_year_ahead(scene: Scene) -> None:
    """Full comparisons go on by counting nights; status asks whether the clock is right."""
    scene.configure(keep_last=9, full_every_days=3)
    assert _night_at(scene, "+0d").exit_code == 0
    _change(scene, "ahead")
    ahead = _night_at(scene, "+366d")
    assert ahead.exit_code == 0 and ahead.mirror["full"], str(ahead)
    seen = []
    for night in range(6):
        _change(scene, f"night {night}")
        seen.append(scene.night(expect=(3,)).mirror["full"])
    assert seen == [False, False, True, False, False, True]
    told = scene.command("status")
    assert told.exit_code == 3 and re.search(r"dated 36\d d \d+ h ahead of the clock", told.stdout), str(told)
    assert len(scene.published()) == 8


def test_full_nights_are_not_forgotten_where_few_are_kept(scene: Scene) -> None:
    scene.configure(keep_last=2, full_every_days=7)
    seen = []
    for night in range(7):
        _change(scene, f"night {night}")
        result = _night_at(scene, f"+{night}d")
        assert result.exit_code == 0, str(result)
        seen.append(result.mirror["full"])
    assert seen == [False, False, False, True, False, False, True], "each as soon as the last one has expired"


def test_a_machine_without_a_clock(scene: Scene) -> None:
    """1970 at boot, until the network is there: the night is dated right after the newest, and says so."""
    scene.night()
    _change(scene, "second")
    result = _night_at(scene, _shift(datetime(1970, 1, 1, 0, 1, tzinfo=UTC)))
    assert result.exit_code == 3 and "the clock is" in result.mirror["warnings"][0], str(result)
    assert (scene.slots()[1] / "file").read_text() == "second"
    _change(scene, "third")
    assert scene.night().mirror["warnings"] == []
    assert len(scene.published()) == 3
