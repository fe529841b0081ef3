"""`snapmirror run --due`: which mirrors are run, and what is said of the others."""

from __future__ import annotations

import re
import signal
from datetime import UTC, datetime, timedelta

from tests.support.clock import shifted
from tests.support.runner import Result, Scene
from tests.support.waiting import until


def due(scene: Scene, *words: str, shift: str = "+0") -> Result:
    done = scene.command("run", "--due", *words, under=shifted(shift))
    assert done.exit_code in (0, 2, 3), str(done)
    return done


def test_a_night_is_due_a_day_after_the_last(scene: Scene) -> None:
    assert due(scene, shift="-49h").exit_code == 0, "there was none yet"
    assert len(scene.published()) == 1
    not_yet = due(scene, shift="-26h")
    told = re.fullmatch(r"web: is due on (\S+ \S+) UTC\n", not_yet.stderr)
    assert told and not_yet.stdout == "", str(not_yet)
    at = datetime.fromisoformat(told[1]).replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - timedelta(hours=25) - at) < timedelta(minutes=5)
    assert due(scene, "--json", shift="-26h").json == {"exit_code": 0, "mirrors": [], "warnings": []}
    assert due(scene, "--dry-run", "--json", shift="-26h").json == []
    assert len(scene.published()) == 1
    [mirror] = due(scene, "--json").json["mirrors"]
    assert mirror["result"] == "published"
    assert len(scene.published()) == 2


def test_a_time_of_day_is_the_rule_of_cron(scene: Scene) -> None:
    """The last night ended four hours ago: that of five hours ago is done, that of three hours ago was missed."""
    due(scene, shift="-4h")
    now = datetime.now(UTC)
    done, missed = (f"{now - timedelta(hours=hours):%H:%M}" for hours in (5, 3))
    assert "web: is due on " in due(scene, "--at", done).stderr
    assert len(scene.published()) == 1
    due(scene, "--at", missed, "--quiet")
    assert len(scene.published()) == 2
    assert "--due" in scene.command("run", "--at", missed).stderr
    assert due(scene, "--at", "25:00").exit_code == 2
    assert due(scene, "nobody").exit_code == 2


def test_a_night_that_failed_is_not_tried_again_but_one_that_was_stopped_is(scene: Scene) -> None:
    scene.night()
    scene.source.rename(scene.folder / "elsewhere")
    late = scene.command("run", under=shifted("+30h"))
    assert late.exit_code == 12, str(late)
    assert "is due on" in due(scene, shift="+31h").stderr
    (scene.folder / "elsewhere").rename(scene.source)
    scene.fake_program("rsync", "#!/bin/sh\nexec sleep 600\n")
    stopped = scene.start("run", under=shifted("+60h"))
    until(lambda: len(scene.processes()) >= 2, "rsync runs", running=stopped)
    stopped.send_signal(signal.SIGTERM)
    assert scene.finish(stopped).exit_code == 143
    (scene.programs / "rsync").unlink()
    assert due(scene, shift="+61h").exit_code == 0
    assert len(scene.published()) == 2
