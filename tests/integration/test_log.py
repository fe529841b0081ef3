"""`snapmirror log`: every night that was, good or bad, whatever became of the file; and how long the room lasts."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.state import logbook, trend
from snapmirror.state.report import MirrorReport, RunReport
from snapmirror.state.summary import Space
from tests.support.runner import Scene

DAY, GIB = 86_400.0, 1 << 30


def test_nights_good_and_bad_are_told(scene: Scene) -> None:
    assert "no night is recorded yet" in scene.command("log").stderr
    (scene.source / "a").write_text("12345")
    os.utime(scene.source, (0, 1_600_000_000))  # not in the second in which it changes next
    first = scene.night().mirror["snapshot"]
    (scene.source / "a").write_text("another")
    (scene.source / "b").write_text("new")
    scene.night()
    scene.source.rename(scene.folder / "elsewhere")
    scene.night(expect=[12])
    [third, second, oldest] = scene.command("log", "--json").json
    assert (oldest["snapshot"], oldest["result"], oldest["exit_code"]) == (first, "published", 0)
    assert (second["added"], second["updated"], second["deleted"], second["bytes_transferred"]) == (1, 2, 0, 10)
    assert (third["result"], third["exit_code"], third["snapshot"]) == ("failed", 12, None)
    assert "there is no such folder" in third["error"] and second["error"] is None
    assert second["store_free_bytes"] > 0 and second["finished_at"] > second["snapshot"][:10]
    lines = scene.command("log", "web", "--last", "2").stdout.splitlines()
    assert lines[0].split() == ["ENDED", "MIRROR", "RESULT", "CODE", "ADDED", "CHANGED", "DELETED", "FETCHED", "TOOK"]
    assert [line.split()[3:6] for line in lines[1:]] == [["web", "failed", "12"], ["web", "published", "0"]]
    assert scene.command("log", "wbe").exit_code == 2

    scene.store.rename(scene.folder / "gone")  # nothing is opened
    scene.night(expect=[11])
    assert [one["exit_code"] for one in scene.command("log", "--json").json] == [11, 12, 0, 0]


def test_a_line_that_was_cut_off_is_passed_over(scene: Scene) -> None:
    scene.night()
    scene.night()
    [file] = scene.state.glob("*.nights")
    whole = file.read_bytes()
    for cut in (20, 1, 0):
        file.write_bytes(whole[: len(whole) - cut])
        assert len(scene.command("log", "--json").json) == (1 if cut == 20 else 2)
    file.write_bytes(whole[:-20])
    scene.night()
    assert len(scene.command("log", "--json").json) == 2, "the cut one is gone, the new one is not"
    file.write_bytes(b"\0" * 4096 + b"\n[]\n{}\n\xff\n" + whole)
    assert len(scene.command("log", "--json").json) == 2


def test_a_logbook_that_cannot_be_written_is_a_warning(scene: Scene) -> None:
    scene.night()
    [file] = scene.state.glob("*.nights")
    file.unlink()
    file.mkdir()
    done = scene.night(expect=[3])
    assert done.mirror["result"] == "published"
    assert "the logbook cannot be written" in done.json["warnings"][0]
    assert scene.command("log").exit_code == 11


def test_the_last_400_are_kept(scene: Scene) -> None:
    config = load(scene.config)
    for number in range(1200):
        report = RunReport([MirrorReport("web", "published", added=number), MirrorReport("away", "published")])
        if number % 100 == 0:
            report.mirrors[0].warnings = ["x" * 5000] * 100
        logbook.append(config, report, float(number), None)
    found = logbook.entries(config)
    mine = [one.added for one in found if one.mirror == "web"]
    assert mine == list(range(mine[0], 1200)) and 400 <= len(mine) <= 1000
    [file] = scene.state.glob("*.nights")
    assert file.stat().st_size < 1 << 20
    assert {len(one.warnings) for one in found if one.mirror == "web"} == {0, 21}


@pytest.mark.parametrize(
    ("free", "days"),
    [
        ([100, 90, 80, 70], 6.0),
        ([100, 90, 80, 200, 190, 180], None),  # a purge
        ([100, 90, 5, 70, 60, 50, 40], 3.0),  # something that came and went
        ([100, 100, 100, 65, 65, 65, 65, 65, 65, 65, 30, 30, 30, 30, 30], 4.0),  # each week one night
        ([100, 100, 100], None),
        ([100, 110, 120], None),
        ([100, 90], None),
        ([30, 20, 10, 5], 0.0),
        ([], None),
    ],
)
def test_days_until_full(free: list[int], days: float | None) -> None:
    found = trend.days_until([(DAY * number, one * GIB) for number, one in enumerate(free)], 10 * GIB)
    assert found == (pytest.approx(days) if days is not None else None)


def test_two_nights_within_an_hour_tell_no_pace() -> None:
    assert trend.days_until([(0.0, 9), (100.0, 8), (200.0, 7)], 0) is None
    assert trend.days_until([(5 * DAY, 9), (5 * DAY, 8), (5 * DAY, 7)], 0) is None


def test_status_and_metrics_tell_when_it_is_full(scene: Scene, tmp_path: Path) -> None:
    metrics = scene.folder / "metrics"
    scene.sections["report"] = {"metrics_file": str(metrics)}
    scene.configure()
    scene.night()
    assert "snapmirror_days_until_full" not in metrics.read_text(), "not known yet"
    assert "snapmirror_store_free_bytes " in metrics.read_text() and "disk_free_bytes" not in metrics.read_text()
    before = scene.command("status", "--json").json
    assert before["days_until_full"] is None
    config, now, free = load(scene.config), time.time(), before["store_free_bytes"]
    [file] = scene.state.glob("*.nights")
    file.unlink()
    for ago in range(9, 0, -1):
        when = now - ago * DAY
        space = Space(at=when, store_free=free + ago * GIB)
        logbook.append(config, RunReport([MirrorReport("web", "published")]), when, space)
    told = scene.command("status", "--json").json
    assert told["days_until_full"] == pytest.approx(free / GIB, rel=0.02)
    assert "that is full in" in scene.command("status").stderr
    scene.night()
    [number] = [
        line.split()[1] for line in metrics.read_text().splitlines() if line.startswith("snapmirror_days_until")
    ]
    assert float(number) == pytest.approx(free / GIB, rel=0.2)
    assert json.loads(file.read_text().splitlines()[-1])["store_free"] > 0


def test_the_code_is_what_the_run_ended_with(scene: Scene) -> None:
    """A warning that belongs to no mirror is counted by the run."""
    scene.night()
    scene.store.chmod(0o755)
    (scene.store / "web").chmod(0o755)
    code = scene.night(expect=[0, 3]).exit_code
    [_, line, _] = scene.command("log").stdout.splitlines()
    assert code == 3 and line.split()[3:6] == ["web", "published", "3"], line
    assert scene.command("log", "--json").json[0]["run_warnings"], "the mirror itself had none"
