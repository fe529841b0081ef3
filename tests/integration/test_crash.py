"""A crash never hurts: the run is killed at its renames, flushes, names, writes and program starts.

After each kill a plain next run must succeed alone, every sealed snapshot must be what it was, and the newest one must
be the source. The kill comes from strace's fault injection, at the entry of a chosen system call of the real program.

    SNAPMIRROR_TEST_LONG=1    kill at each single call, instead of at each rename and flush and a sample of the others
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import crash, fake_rsync
from tests.support.runner import LONG, Scene
from tests.support.victim import Victim

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")
SAMPLE = 1_000_000 if LONG else 4


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.release()


KILLS = {
    "rename": (crash.RENAMES, 1_000_000),
    "flush": (crash.FLUSHES, 1_000_000),
    "name": (crash.NAMES, SAMPLE),
    "write": (crash.WRITES, SAMPLE),
    "start": (crash.STARTS, SAMPLE),
    "attribute": (crash.ATTRIBUTES, SAMPLE),
}


@pytest.mark.parametrize("kind", KILLS)
def test_killed_in_a_night_that_recycles(scene: Scene, kind: str) -> None:
    scene.configure(keep_last=2)
    victim = Victim(scene, f"recycle {kind}")
    for _ in range(4):
        victim.night()
        victim.day()
    victim.kill_at_each(*KILLS[kind])
    victim.verify()


@pytest.mark.parametrize("kind", ["rename", "name", "start"])
def test_killed_while_the_ring_fills(scene: Scene, kind: str) -> None:
    """Nights that make their slot with cp -al, because nothing has expired yet."""
    scene.configure(keep_last=1000)
    victim = Victim(scene, f"fill {kind}")
    victim.night()
    calls, _ = KILLS[kind]
    victim.kill_at_each(calls, 1_000_000 if LONG else 4)
    victim.verify()


@pytest.mark.parametrize("kind", ["rename", "flush", "name", "start"])
def test_killed_in_the_first_night(tmp_path: Path, kind: str) -> None:
    calls, _ = KILLS[kind]
    counting = Scene(tmp_path / "count")
    Victim(counting, f"first {kind}")
    points, result = crash.points(counting, calls)
    assert result.exit_code == 0, str(result)
    for number, point in enumerate(crash.spread(points, 1_000_000 if LONG else 4)):
        scene = Scene(tmp_path / f"{kind}{number}")
        try:
            victim = Victim(scene, f"first {kind}")
            victim.killed(point)
            victim.night()
            victim.day()
            victim.night()
        finally:
            scene.release()


@pytest.mark.parametrize("kind", ["rename", "name", "flush"])
def test_killed_while_several_expire(scene: Scene, kind: str) -> None:
    """keep_last was lowered: the next night parks one and removes the others, and is killed in the midst of it."""
    calls, _ = KILLS[kind]
    victim = Victim(scene, f"expire {kind}")

    def fill() -> None:
        scene.configure(keep_last=5)
        while len(scene.slots()) < 5:
            victim.day()
            victim.night()
        scene.configure(keep_last=2)

    fill()
    points, result = crash.points(scene, calls, "--json", "--accept-changes")
    assert result.exit_code == 0, str(result)
    victim.check(result.mirror["snapshot"])
    assert len(scene.slots()) == 2
    for point in crash.spread(points, 40 if LONG else 3)[1:]:  # each takes up to five nights
        fill()
        victim.day()
        victim.killed(point)
        victim.night()
        assert len(scene.slots()) == 2
    victim.verify()


def test_killed_again_while_recovering(scene: Scene) -> None:
    scene.configure(keep_last=2)
    victim = Victim(scene, "twice")
    for _ in range(3):
        victim.night()
        victim.day()
    points, _ = crash.points(scene, crash.RENAMES + crash.NAMES)
    victim.check(next(iter(scene.published())))
    for first in crash.spread(points, 20 if LONG else 3):
        victim.day()
        victim.killed(first)
        for second in crash.spread(points, 3):
            victim.killed(second)
        victim.night()
    victim.verify()


def test_everything_is_killed_at_once(scene: Scene) -> None:
    """The run and all its programs die at the same moment, as when the machine is switched off (caches kept)."""
    scene.configure(keep_last=2)
    victim = Victim(scene, "all")
    for _ in range(3):
        victim.night()
        victim.day()
    for _ in range(40 if LONG else 5):
        victim.day()
        process = scene.start("run", "--json")
        time.sleep(victim.rng.uniform(0.2, 1.2))
        scene.kill_processes()
        process.communicate()
        victim.history.check_wreck(victim.tree.fingerprint())
        victim.night()
    victim.verify()


@pytest.mark.parametrize("kind", ["rename", "link", "mkdir", "write"])
def test_rsync_is_killed_in_mid_transfer(scene: Scene, kind: str) -> None:
    """Not the run but its rsync dies: the night fails, says so, and costs nothing."""
    scene.configure(keep_last=2)
    victim = Victim(scene, f"rsync {kind}")
    for _ in range(3):
        victim.night()
        victim.day()
    calls = {"rename": crash.RENAMES, "link": ("link", "linkat", "symlink", "symlinkat", "mknod", "mknodat"),
             "mkdir": ("mkdir", "mkdirat"), "write": ("write",)}[kind]  # fmt: skip
    failed = 0
    for number in (1, 3) if not LONG else range(1, 30):
        victim.tree.grow([("small", number), ("symlink", number), ("directory", number + 7), ("large", number)])
        victim.day()
        fake_rsync.killed_in_mid_transfer(scene, calls, number)
        before = scene.published()
        result = scene.night(expect=(0, 12))
        failed += result.exit_code == 12
        if result.exit_code == 12:
            victim.history.check()
            assert scene.published() == before
            assert scene.leftovers() == []
        fake_rsync.remove(scene)
        victim.night()
    assert failed
    victim.verify()


@pytest.mark.parametrize("kind", ["start", "rename"])
def test_killed_with_an_image(tmp_path: Path, kind: str) -> None:
    """The killed run leaves the image attached and mounted; the next one finds and mends that by itself."""
    image = {"file": str(tmp_path / "disk.img"), "size": "600M", "encryption": "none"}
    scene = Scene(tmp_path / "scene", image=image)
    try:
        scene.configure(keep_last=2)
        result = scene.command("init")
        assert result.exit_code == 0, str(result)
        victim = Victim(scene, f"image {kind}")
        for _ in range(3):
            victim.night()
            victim.day()
        calls, _ = KILLS[kind]
        victim.kill_at_each(calls, 1_000_000 if LONG else 4)
        victim.verify()
        assert scene.leftovers() == []
    finally:
        scene.release()
