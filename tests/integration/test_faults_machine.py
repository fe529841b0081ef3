"""A machine that runs short of memory, a daemon that is killed under the store, and a disk that hangs.

SNAPMIRROR_TEST_LONG=1    more limits, and a kill at dozens of points
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from threading import Timer

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from tests.conftest import Figures
from tests.support import blockdev, crash
from tests.support.runner import LONG, Result, Scene
from tests.support.storage import TINY
from tests.support.victim import Victim

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")
WORDS = ("--json", "--accept-changes")
# MiB of data for each process; with less than 16 Python itself cannot start, with some 80 this night is whole
LIMITS = range(16, 112, 2) if LONG else (16, 32, 64)
EACH = 6 if LONG else 1


def test_too_little_memory(folder: Path, figures: Figures) -> None:
    scene = Scene(folder / "scene")
    scene.configure(keep_last=2)
    victim, ends = Victim(scene, "memory"), Counter[int]()
    for number in range(4_000):
        (scene.source / f"many{number}").touch()
    victim.tree.settle()
    victim.night()
    for mib in LIMITS:
        for number in range(4_000):
            (scene.source / f"many{number}").write_text(f"{mib}")
        victim.tree.settle()
        before = victim.history.ids
        result = scene.finish(scene.start("run", *WORDS, under=["prlimit", f"--data={mib << 20}"]))
        assert result.exit_code in (0, 11, 12), f"{mib} MiB: {result}"
        assert scene.leftovers() == [], f"{mib} MiB: {result}"
        if result.exit_code:
            assert "memory" in str(result) or "threads" in str(result), f"{mib} MiB: {result}"
            assert victim.history.check(where=f" with {mib} MiB") == before
        else:
            victim.check(result.mirror["snapshot"])
        ends[result.exit_code] += 1
    victim.night()
    told = ", ".join(f"{code} × {count}" for code, count in sorted(ends.items()))
    figures.add(f"memory limits: {ends.total()} tried (exit code {told}), 0 lost")


def test_the_daemon_below_the_store_is_killed(folder: Path, figures: Figures) -> None:
    disk, sound = folder / "disk.img", folder / "sound.img"
    scene = Scene(folder / "scene", image={"file": str(disk), "size": "512M", "encryption": "none"})
    scene.configure(keep_last=2)
    initialise(load(scene.config), workload=TINY)
    victim, ends = Victim(scene, "daemon"), Counter[str]()
    for _ in range(3):
        victim.day()
        victim.night()
    victim.day()
    steps, result = crash.steps(scene, *WORDS)
    victim.check(result.mirror["snapshot"])
    for step, points in steps.items():
        for point in crash.spread(points, EACH + 2)[1:-1]:
            victim.day()
            disk.rename(sound)
            with blockdev.exported(blockdev.failing(sound, None), disk) as daemon:
                result, reached = crash.changed_at(scene, point, daemon.kill, *WORDS)
                where = f"killed in {step} at {point}: {result}"
                assert result.exit_code in (0, 3, 11, 12), where
                assert scene.leftovers() == [], where
            disk.unlink(missing_ok=True)
            sound.rename(disk)
            ends[f"{step}: {result.exit_code}" if reached else "over before"] += 1
            victim.night()
    victim.verify()
    told = ", ".join(f"{end} × {count}" for end, count in sorted(ends.items()))
    figures.add(f"daemon below the store killed: {ends.total()} times ({told}), 0 lost")


def test_a_disk_that_hangs_is_waited_for_and_the_next_run_is_told(folder: Path) -> None:
    disk, sound = folder / "disk.img", folder / "sound.img"
    scene = Scene(folder / "scene", image={"file": str(disk), "size": "512M", "encryption": "none"})
    initialise(load(scene.config), workload=TINY)
    victim, others = Victim(scene, "hang"), list[Result]()
    victim.night()
    steps, result = crash.steps(scene, *WORDS)
    victim.check(result.mirror["snapshot"])
    victim.day()
    disk.rename(sound)
    with blockdev.exported(blockdev.failing(sound, None), disk) as daemon:

        def meanwhile() -> None:
            others.append(scene.command("run"))
            daemon.resume()

        def hang() -> None:
            daemon.suspend()
            Timer(2, meanwhile).start()

        result, reached = crash.changed_at(scene, steps["seal"][0], hang, *WORDS)
        assert reached
        assert result.exit_code == 0, str(result)
        assert scene.leftovers() == []
    disk.unlink()
    sound.rename(disk)
    victim.check(result.mirror["snapshot"])
    [other] = others
    assert other.exit_code == 10, str(other)
    assert "another run holds the store: pid " in other.stderr
