"""Nights by the rules of periods, Hanoi and cycles; `list --why` and `plan --retention` tell what goes, and when."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import shifted
from tests.support.files import put
from tests.support.runner import Result, Scene

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    put(scene.source / "file", b"first")
    return scene


def at(scene: Scene, days_ago: int, *words: str) -> Result:
    shift = (NOON - timedelta(days=days_ago) - datetime.now(UTC)).total_seconds()
    return scene.command(*words, under=shifted(f"{shift:+.0f}"))


def nights(scene: Scene, days: range, **retention: Any) -> None:
    scene.configure(retention={"keep_last": 1, "keep_at_least_days": 0, **retention})
    for days_ago in days:
        done = at(scene, days_ago, "run")
        assert done.exit_code == 0, str(done)


def days(scene: Scene) -> list[int]:
    """How many days ago the snapshots were made."""
    return [
        round((NOON - datetime.strptime(name, "%Y-%m-%dT%H%M%SZ").replace(tzinfo=UTC)) / timedelta(days=1))
        for name in scene.published()
    ]


def test_days_and_weeks(scene: Scene) -> None:
    nights(scene, range(13, -1, -1), keep_daily=3, keep_weekly=2)
    weekday = NOON.astimezone().weekday()  # Sundays end weeks
    sundays = [ago for ago in range(14) if (weekday - ago) % 7 == 6 or ago == 0][:2]
    assert days(scene) == sorted({0, 1, 2, *sundays})
    shown = at(scene, 0, "list", "--why")
    assert shown.exit_code == 0, str(shown)
    assert re.search(
        r"number 1 of the last 1; the last one that is complete; last of the day .*keep_daily", shown.stdout
    )
    told = {one["id"]: one for one in at(scene, 0, "list", "--why", "--json").json}
    oldest = told[list(scene.published())[-1]]
    assert [reason.partition(" 2")[0] for reason in oldest["reasons"]] == ["last of the week"]
    going = [name for name, one in told.items() if one["expires_at"] is not None]
    assert set(going) == set(told)
    first = min(told.values(), key=lambda one: one["expires_at"])
    days_to_go = round((datetime.fromisoformat(first["expires_at"]) - NOON) / timedelta(days=1))
    for ahead in range(1, days_to_go):
        assert at(scene, -ahead, "plan", "--retention", "--json").json[0]["expires"] == [] or ahead == days_to_go
    tomorrow = at(scene, -1, "plan", "--retention")
    assert tomorrow.exit_code == 0
    assert f"{first['id']} will expire" in tomorrow.stdout or days_to_go > 1
    assert at(scene, -1, "run").exit_code == 0
    assert (first["id"] in scene.published()) == (days_to_go > 1)


def test_hanoi_and_a_pinned_one(scene: Scene) -> None:
    nights(scene, range(12, 4, -1), **{"hanoi.discs": 3})
    assert days(scene) == [5, 6, 7]  # numbers 8, 7, 6: discs 3, 1, 2
    assert scene.command("pin", "3").exit_code == 0
    nights(scene, range(4, 0, -1), **{"hanoi.discs": 3})
    assert days(scene) == [1, 2, 3, 7]


def test_cycles(scene: Scene) -> None:
    nights(scene, range(9, 3, -1), **{"cycle.fulls": 2, "cycle.diffs": 2})
    assert days(scene) == [4, 5, 6, 7, 8, 9]
    nights(scene, range(3, 2, -1), **{"cycle.fulls": 2, "cycle.diffs": 2})
    assert days(scene) == [3, 4, 5, 6], "the oldest cycle goes at once, and stops no night"


def test_rules_that_keep_much_less_stop_a_night_once(scene: Scene) -> None:
    nights(scene, range(8, 0, -1), keep_daily=7)
    assert len(scene.published()) == 7
    fewer = {"keep_last": 1, "keep_at_least_days": 0, "keep_daily": 1}
    scene.configure(retention=fewer, guard={"min_free": "1M", "min_free_inodes": 10})
    told = at(scene, 0, "plan", "--retention")
    assert told.exit_code == 0 and "7 snapshots would expire at once" in told.stderr, str(told)
    assert at(scene, 0, "plan", "--retention", "--json").json[0]["refusals"][0]["exit_code"] == 13
    stopped = at(scene, 0, "run")
    assert stopped.exit_code == 13, str(stopped)
    assert "snapshots would expire at once" in stopped.stderr
    assert at(scene, 0, "run", "--accept-changes").exit_code == 0
    assert days(scene) == [0]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"keep_within": "2 fortnights"}, '"2 fortnights" is not a length of time; write "48h"'),
        ({"keep_within": 48}, "write a length of time in quotes"),
        ({"keep_daily": -1}, "keep_daily"),
        ({"keep_good": 0}, "keep_good"),
        ({"hanoi.archive_oldest": True}, "hanoi.discs"),
        ({"hanoi.discs": 1}, "hanoi.discs"),
        ({"cycle.fulls": 2}, "cycle.diffs"),
    ],
)
def test_wrong_rules_are_named(scene: Scene, wrong: dict[str, Any], sentence: str) -> None:
    scene.configure(retention=wrong)
    done = scene.command("config", "check")
    assert done.exit_code == 2
    assert sentence in done.stderr
