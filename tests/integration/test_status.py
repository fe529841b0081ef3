"""`snapmirror status`: what it tells after real nights, good and bad, and that it never waits for a store."""

from __future__ import annotations

import json
import os
import re
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

from snapmirror.config import load
from snapmirror.snapshots.record import make_id, parse_id
from snapmirror.state import summary
from snapmirror.views.fields import utc_time
from tests.support.runner import Scene
from tests.support.waiting import until


def status(scene: Scene, expect: int) -> dict[str, Any]:
    done = scene.command("status", "--json")
    assert (done.exit_code, done.json["exit_code"]) == (expect, expect), str(done)
    assert (done.exit_code == 3) == bool(done.json["findings"])
    found: dict[str, Any] = done.json
    return found


def test_before_the_first_night(scene: Scene) -> None:
    found = status(scene, expect=3)
    assert found["findings"] == ["web: there is no snapshot yet"]
    assert found["store_free_bytes"], "a plain folder can be asked at any time"
    assert found["mirrors"][0]["last_success_at"] is None


def test_after_a_good_night_all_is_well(scene: Scene) -> None:
    scene.night()
    found = status(scene, expect=0)
    [mirror], [snapshot] = found["mirrors"], scene.published()
    assert (mirror["mirror"], mirror["result"], mirror["snapshot"]) == ("web", "published", snapshot)
    assert mirror["last_success_at"].replace(":", "") == snapshot
    assert 0 <= mirror["last_success_age_seconds"] <= (datetime.now(UTC) - parse_id(snapshot)).total_seconds() + 1
    assert (found["image_bytes"], found["disk_free_bytes"]) == (None, None), "a plain folder"
    free = os.statvfs(scene.store).f_bavail * os.statvfs(scene.store).f_frsize
    assert abs(found["store_free_bytes"] - free) < 1 << 30
    shown = scene.command("status")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[-1] == "all is well"


def test_a_failed_night_and_warnings_are_told_and_the_last_success_stays(scene: Scene) -> None:
    scene.night()
    [snapshot] = scene.published()
    scene.source.rename(scene.folder / "elsewhere")
    scene.night(expect=[12])
    found = status(scene, expect=3)
    [mirror] = found["mirrors"]
    assert (mirror["result"], mirror["exit_code"], mirror["snapshot"]) == ("failed", 12, None)
    assert mirror["last_success_at"].replace(":", "") == snapshot
    assert found["findings"] == [f"web: the last run failed: {mirror['error']}"]
    assert "(12)" in scene.command("status").stdout
    told = scene.command("status", "--findings")
    assert (told.exit_code, told.stdout) == (3, f"{found['findings'][0]}\n  hint: {mirror['hint']}\n")


def test_what_a_run_did_not_see_is_remembered(scene: Scene) -> None:
    """The store cannot be opened any more: last success and space are those of the last run that saw them."""
    scene.night()
    before = status(scene, expect=0)
    space = json.loads(next(scene.state.glob("*.status.json")).read_text())["space"]
    scene.store.rename(scene.folder / "gone")
    scene.night(expect=[11])
    found = status(scene, expect=3)
    assert found["store_free_bytes"] == space["store_free"]
    assert found["space_at"] == utc_time(datetime.fromtimestamp(space["at"], UTC))
    [mirror] = found["mirrors"]
    assert mirror["last_success_at"] == before["mirrors"][0]["last_success_at"]
    assert mirror["exit_code"] == 11


def test_an_old_success_and_little_space_need_a_look(scene: Scene) -> None:
    scene.configure()
    scene.night()
    kept = next(scene.state.glob("*.status.json"))
    remembered = json.loads(kept.read_text())
    remembered["nights"]["web"]["last_success"] -= 5 * 86400
    remembered["space"].update(store_free=1000, image=5, disk_free=2000)
    kept.write_text(json.dumps(remembered))
    scene.store.rename(scene.folder / "gone")  # else the record itself is asked
    assert status(scene, expect=3)["findings"] == [
        "web: the last success is 5 days old",
        "the store had 1000 B left after the last run, less than min_free",
        "the disk below the image had 2.0 KiB left after the last run, less than min_free",
    ]


def test_a_weekly_mirror_is_late_after_two_weeks_or_as_configured(scene: Scene) -> None:
    """By the record where that can be read, else by what the last run remembers; `doctor` and the metrics agree."""
    metrics = scene.folder / "metrics"
    scene.sections["report"] = {"metrics_file": str(metrics)}
    scene.configure(keep_last=9)
    for _ in range(3):
        scene.night()
    record = scene.home / ".snapmirror" / "record.json"
    told = json.loads(record.read_text())
    now = datetime.now(UTC)
    for number, one in enumerate(told["snapshots"]):
        one["id"] = make_id(now - timedelta(days=7 * number + 5))
    record.write_text(json.dumps(told))
    next(scene.state.glob("*.newest.json")).unlink()  # else it is another store than it was
    found = status(scene, expect=0)
    assert found["mirrors"][0]["late_after_seconds"] == 14 * 86_400
    assert found["mirrors"][0]["last_success_age_seconds"] >= 5 * 86_400

    scene.configure(keep_last=9, late_after="4d")
    assert status(scene, expect=3)["findings"] == ["web: the last success is 5 days old"]
    scene.configure(keep_last=9, late_after="1d")
    assert "does cron run it?" in scene.command("doctor").stdout
    del scene.mirror["late_after"]
    scene.configure(keep_last=9)
    assert "does cron run it?" not in scene.command("doctor").stdout

    scene.source.rename(scene.folder / "elsewhere")
    scene.night(expect=[12])
    assert 'snapmirror_late_after_seconds{mirror="web"} 1.2096e+06' in metrics.read_text()
    scene.store.rename(scene.folder / "gone")
    assert status(scene, expect=3)["mirrors"][0]["late_after_seconds"] == 14 * 86_400


def test_a_copy_of_the_image_is_late_by_its_own_schedule(scene: Scene) -> None:
    scene.image = {"file": str(scene.folder / "image"), "size": "1G", "encryption": "none"}
    scene.sections["copy"] = {"destination": str(scene.folder / "disk")}
    scene.configure()
    config = load(scene.config)
    scene.store.rmdir()
    week, now = 7 * 86_400, datetime.now(UTC).timestamp()
    for ago in (19 * 86_400, 12 * 86_400, 5 * 86_400):
        summary.keep_copy(config, summary.Copy(finished=now - ago, last_success=now - ago))
    assert status(scene, expect=3)["findings"] == ["web: there is no snapshot yet"]
    summary.keep_copy(config, summary.Copy(finished=now, error="no disk"))
    assert (kept := summary.load(config).copied) is not None
    assert (kept.last_success, kept.before) == (
        now - 5 * 86_400,
        (now - 5 * 86_400 - week, now - 5 * 86_400 - 2 * week),
    )
    scene.sections["copy"]["late_after"] = "36h"
    scene.configure()
    assert "the last copy of the image is 5 days old" in status(scene, expect=3)["findings"]


def test_it_answers_while_a_night_runs(scene: Scene) -> None:
    scene.fake_program("rsync", "#!/bin/sh\nexec sleep 600\n")
    night = scene.start("run")

    def running_since() -> Any:
        return scene.command("status", "--json").json["running_since"]

    try:
        until(lambda: running_since() is not None, "it is said to run", running=night)
        assert abs(datetime.fromisoformat(running_since()) - datetime.now(UTC)).total_seconds() < 120
    finally:
        night.send_signal(signal.SIGTERM)
        night.communicate()
    assert status(scene, expect=3)["running_since"] is None


def test_a_damaged_memory_is_no_memory(scene: Scene) -> None:
    scene.night()
    next(scene.state.glob("*.status.json")).write_text("{")
    done = scene.command("status", "--json")
    assert done.exit_code == 0, "the record of a plain folder still tells the last success"
    assert "cannot be read" in done.stderr


def test_metrics_tell_of_every_mirror(scene: Scene) -> None:
    """Whichever the last run was for: a series that comes and goes would be an alarm, or none where one is due."""
    other, metrics = scene.folder / "other", scene.folder / "metrics"
    other.mkdir()
    scene.sections["report"] = {"metrics_file": str(metrics)}
    scene.configure()
    scene.config.write_text(scene.config.read_text() + f'[[mirror]]\nname = "db"\nsource = "{other}"\n')
    (scene.source / "file").write_bytes(b"12345")
    scene.night("web")

    def read() -> dict[tuple[str, str], float]:
        lines = re.findall(r'^snapmirror_(\w+)\{mirror="(\w+)"\} (\S+)$', metrics.read_text(), re.MULTILINE)
        return {(name, mirror): float(value) for name, mirror, value in lines}

    before = read()
    assert {mirror for _, mirror in before} == {"web"}
    assert before["last_run_transferred_bytes", "web"] == 5
    assert before["last_run_changed_names", "web"] == 2  # the root is one
    assert before["last_run_timestamp_seconds", "web"] >= before["last_success_timestamp_seconds", "web"] > 0
    other.rmdir()
    scene.night("db", expect=[12])
    after = read()
    assert {key: value for key, value in after.items() if key[1] == "web"} == before
    assert after["last_run_exit_code", "db"] == 12
    assert ("last_success_timestamp_seconds", "db") not in after
