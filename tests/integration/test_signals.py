"""Stopped by a signal: unwound, nothing published, nothing left; what has arrived is not sent again.

Also two runs at once: the second names the first and leaves.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import crash, fake_rsync
from tests.support.runner import LONG, History, Scene
from tests.support.trees import Tree
from tests.support.waiting import until

EXIT_CODE = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 143}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.release()


def many_files(scene: Scene, count: int, size: int, start: int = 0) -> None:
    for number in range(start, start + count):
        (scene.source / f"file{number:04}").write_bytes(random.Random(number).randbytes(size))
    Tree(scene.source).settle()


def fetched(scene: Scene) -> list[Path]:
    """Complete files that have arrived in a slot that is being built, wherever that is."""
    published = {slot.name for slot in scene.slots().values()}
    return [
        path
        for path in scene.home.rglob("file[0-9][0-9][0-9][0-9]")
        if not published & set(path.relative_to(scene.home).parts)
    ]


def received(scene: Scene) -> int:
    """How many these are."""
    return len(fetched(scene))


def in_mid_transfer(scene: Scene, arrived: int) -> subprocess.Popen[str]:
    """A run that fetches slowly, when so many files have arrived."""
    fake_rsync.install(scene, 'if [ "$phase" = transfer ]; then exec "$real" --bwlimit=1000 "$@"; fi')
    process = scene.start("run", "--json")
    until(lambda: received(scene) >= arrived, "enough has arrived", running=process)
    return process


def never_written(path: Path) -> None:
    """What a failed write leaves: the right size and time, and nothing there."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("name", EXIT_CODE)
def test_stopped_in_the_first_transfer(scene: Scene, name: str) -> None:
    many_files(scene, 40, 100_000)
    process = in_mid_transfer(scene, 10)
    process.send_signal(getattr(signal, name))
    result = scene.finish(process, timeout=60)
    assert result.exit_code == EXIT_CODE[name], str(result)
    assert name in result.stderr
    assert scene.slots() == {}
    assert scene.leftovers() == []
    arrived = received(scene)
    assert arrived >= 10
    fake_rsync.remove(scene)
    moved = scene.night().mirror["bytes_transferred"]
    assert moved <= (40 - arrived) * 100_000 + 200_000, f"{arrived} files were there, yet {moved} bytes moved"
    history = History(scene)
    history.check()
    history.check_newest(Tree(scene.source).fingerprint())


def test_what_has_arrived_needs_no_room_again(tmp_path: Path) -> None:
    """There is room for everything once: the next night counts what is there, and does not throw it away."""
    scene = Scene(tmp_path, image={"file": str(tmp_path / "disk"), "size": "512M", "encryption": "none"})
    try:
        assert scene.command("init").exit_code == 0
        many_files(scene, 1, 1000, start=1000)
        scene.night()
        free = json.loads(scene.command("status", "--json").stdout)["store_free_bytes"]
        scene.configure(guard={"min_free": f"{(free - 6_000_000) >> 10}K", "min_free_inodes": 10})
        many_files(scene, 40, 100_000)
        process = in_mid_transfer(scene, 25)
        process.send_signal(signal.SIGTERM)
        assert scene.finish(process, timeout=60).exit_code == 143
        with scene.browsing():
            arrived = received(scene)
        fake_rsync.remove(scene)
        moved = scene.night().mirror["bytes_transferred"]
        assert moved <= (40 - arrived) * 100_000 + 200_000, f"{arrived} files were there, yet {moved} bytes moved"
    finally:
        scene.release()


@pytest.mark.parametrize("words", [["run"], ["restore", "newest", "/", "--to", "/nowhere", "--yes"], ["plan"]])
def test_only_a_run_says_that_the_next_one_goes_on(scene: Scene, words: list[str]) -> None:
    (scene.source / "file").write_text("1")
    scene.night()
    fake_rsync.install(scene, "touch $(dirname $0)/began; exec sleep 60")
    process = scene.start(*words)
    until((scene.programs / "began").exists, "rsync has begun", running=process)
    process.terminate()
    done = scene.finish(process, timeout=60)
    assert (done.exit_code, "stopped by SIGTERM" in done.stderr) == (143, True), str(done)
    assert ("the next run goes on here" in done.stderr) is (words == ["run"]), str(done)


@pytest.mark.parametrize("stopped_again", [False, True])
def test_what_a_killed_run_has_fetched_is_compared(scene: Scene, *, stopped_again: bool) -> None:
    """Also when the next run, which compares, does not get that far."""
    many_files(scene, 40, 100_000)
    os.link(scene.source / "file0002", scene.source / "other name")
    process = in_mid_transfer(scene, 10)
    process.kill()
    process.wait()
    arrived = sorted(fetched(scene))
    for path in arrived[1:5]:
        never_written(path)
    if stopped_again:
        fake_rsync.install(scene, 'if [ "$phase" = transfer ]; then touch "$0.now"; exec sleep 60; fi')
        process = scene.start("run", "--json")
        until((scene.programs / "rsync.now").exists, "rsync runs", running=process)
        process.terminate()
        assert scene.finish(process, timeout=60).exit_code == 143
    fake_rsync.remove(scene)
    moved = scene.night().mirror["bytes_transferred"]
    if not stopped_again:  # (what it has half of, a killed rsync keeps, but rsync then may send it whole from a disk)
        assert moved <= (40 - len(arrived) + 4) * 100_000 + 200_000
    History(scene).check_newest(Tree(scene.source).fingerprint())
    assert scene.command("verify", "--full").exit_code == 0


def test_what_a_stopped_run_has_flushed_is_believed(scene: Scene) -> None:
    many_files(scene, 40, 100_000)
    process = in_mid_transfer(scene, 10)
    process.terminate()
    assert scene.finish(process, timeout=60).exit_code == 143
    fake_rsync.install(scene, "")
    scene.night()
    transfers = [call for call in fake_rsync.calls(scene) if call.startswith("transfer")]
    assert transfers
    assert not any("--inplace" in call for call in transfers), "files are compared where they stand"
    History(scene).check_newest(Tree(scene.source).fingerprint())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_stopped_in_a_later_transfer(scene: Scene, name: str) -> None:
    """As above with history to protect, and with one large file of which a part has arrived."""
    many_files(scene, 20, 20_000)
    scene.night()
    history = History(scene)
    before = history.check()
    many_files(scene, 40, 100_000, start=100)
    os.link(scene.source / "file0100", scene.source / "zlink")
    (scene.source / "file0001").chmod(0o600)
    Tree(scene.source).settle()
    process = in_mid_transfer(scene, 20 + 10)
    process.send_signal(getattr(signal, name))
    result = scene.finish(process, timeout=60)
    assert result.exit_code in (143, -9), str(result)
    assert history.check() == before
    if name == "SIGTERM":
        assert scene.leftovers() == []
    fake_rsync.remove(scene)
    moved = scene.night().mirror["bytes_transferred"]
    assert moved <= 31 * 100_000 + 200_000
    history.check()
    history.check_newest(Tree(scene.source).fingerprint())
    assert scene.leftovers() == []


@pytest.mark.parametrize("name", EXIT_CODE)
def test_stopped_at_any_moment(scene: Scene, name: str) -> None:
    """At a number of moments of a night; whatever the moment, the run unwinds and the next one is a plain night."""
    scene.configure(keep_last=2)
    rng = random.Random(name)
    many_files(scene, 60, 3000)
    for _ in range(3):
        scene.night()
        many_files(scene, 5, 3000, start=rng.randrange(60))
    history = History(scene)
    calls = crash.RENAMES + crash.FLUSHES + crash.STARTS + crash.NAMES
    points, _ = crash.points(scene, calls)
    for number, point in enumerate(crash.spread(points, 60 if LONG else 6)):
        before = history.check()
        many_files(scene, 3, 3000 + number, start=rng.randrange(60))
        result = crash.killed_at(scene, point, "--json", signal=name)
        where = f"{point}, {crash.last_call(scene)}: {result}"
        # 12: the signal met rsync, not us; below zero: Python was not up yet, or not any more
        assert result.exit_code in (EXIT_CODE[name], 0, 11, 12, -getattr(signal, name)), where
        assert scene.leftovers() == [], where
        after = history.check(where=f" at {where}")
        assert after == before or after[1:] == before[:1], where
        scene.night()
        history.check()
        history.check_newest(Tree(scene.source).fingerprint())


def test_stopped_while_python_starts_and_ends(scene: Scene) -> None:
    """What no system call marks: imports, what lies between two calls, the end: moments by the clock."""
    many_files(scene, 10, 3000)
    scene.night()
    history = History(scene)
    began = time.monotonic()
    scene.night()
    whole = time.monotonic() - began
    count = 150 if LONG else 15
    for moment in range(count):
        process = scene.start("run", "--json")
        time.sleep(whole * 1.1 * moment / count)
        process.terminate()
        result = scene.finish(process, timeout=60)  # (asserts that no traceback was shown)
        where = f"after {moment} of {count} parts of a night: {result}"
        assert result.exit_code in (EXIT_CODE["SIGTERM"], 0, 12, -signal.SIGTERM), where
        assert scene.leftovers() == [], where
        history.check(where=f" {where}")
    scene.night()
    history.check_newest(Tree(scene.source).fingerprint())


def test_a_second_signal_does_no_harm(scene: Scene) -> None:
    """An impatient operator presses Ctrl-C again and again while the run unwinds."""
    many_files(scene, 40, 100_000)
    process = in_mid_transfer(scene, 3)
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    result = scene.finish(process, timeout=60)
    assert result.exit_code == 130, str(result)
    assert scene.leftovers() == []
    fake_rsync.remove(scene)
    scene.night()


def test_ctrl_c_reaches_the_whole_group(scene: Scene) -> None:
    """A terminal sends SIGINT to the run and to its programs at once."""
    many_files(scene, 40, 100_000)
    process = in_mid_transfer(scene, 3)
    os.killpg(process.pid, signal.SIGINT)
    result = scene.finish(process, timeout=60)
    assert result.exit_code == 130, str(result)
    assert scene.leftovers() == []
    fake_rsync.remove(scene)
    scene.night()


def test_two_runs_at_once(scene: Scene) -> None:
    many_files(scene, 40, 100_000)
    first = in_mid_transfer(scene, 3)
    second = scene.command("run", "--json")
    assert second.exit_code == 10, str(second)
    assert str(first.pid) in second.stderr
    listed = scene.command("list", "--json")
    assert listed.exit_code == 0, str(listed)
    assert json.loads(listed.stdout) == []
    first.send_signal(signal.SIGTERM)
    assert scene.finish(first).exit_code == 143
    fake_rsync.remove(scene)
    scene.night()


def test_a_dead_owner_does_not_hold_the_lock(scene: Scene) -> None:
    many_files(scene, 40, 100_000)
    first = in_mid_transfer(scene, 3)
    first.kill()
    first.communicate()
    fake_rsync.remove(scene)
    scene.night()
    assert scene.leftovers() == []
