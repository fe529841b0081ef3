"""A crash never hurts: the run is killed at its renames, flushes, names, writes and program starts.

After each kill a plain next run must succeed alone, every sealed snapshot must be what it was, and the newest one must
be the source. The kill comes from strace's fault injection, at the entry of a chosen system call of the real program.

    SNAPMIRROR_TEST_LONG=1    kill at each single call, instead of at each rename and flush and a sample of the others
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support import crash, fake_rsync
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import LONG, History, Scene
from tests.support.trees import Tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")
SAMPLE = 1_000_000 if LONG else 4
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
# what the README says may lie beside the manifests between two nights
PRIVATE = {"record.json", "manifests", "sums", "slot", "parked", "tmp", "partial", "record.json.previous"}


class Victim:
    """A scene whose nights are killed, a tree that changes before each, and the history that must stay true."""

    def __init__(self, scene: Scene, seed: str) -> None:
        self.scene, self.rng = scene, random.Random(seed)
        self.tree, self.history = Tree(scene.source), History(scene)
        self.newest = datetime.now(UTC)
        self.tree.grow(random_kinds(self.rng, 25))
        self.tree.settle()

    def day(self) -> None:
        live_a_day(
            self.tree, [*random_changes(self.rng, 8), ("create", self.rng.getrandbits(30)), ("same_size_new_bytes", 5)]
        )

    def night(self, *words: str) -> None:
        """A plain run that must succeed alone, whatever lies in the store."""
        # Snapshots are dated a second apart at least: a hundred quick nights are minutes ahead, and the clock "behind".
        ahead = (self.newest - datetime.now(UTC)).total_seconds()
        time.sleep(max(0.0, ahead - 30))
        result = self.scene.night("--accept-changes", *words)
        self.check(result.mirror["snapshot"])

    def check(self, newest: str) -> None:
        self.newest = datetime.strptime(newest, "%Y-%m-%dT%H%M%SZ").replace(tzinfo=UTC)
        assert self.scene.leftovers() == []
        with self.scene.browsing():
            ids = self.history.check()
            assert ids[0] == newest
            self.history.check_newest(self.tree.fingerprint())
            self.check_private(ids)
        self.tree.published()

    def check_private(self, ids: list[str]) -> None:
        """Nothing is left in .snapmirror that the README does not name, and nothing of the killed run."""
        private = self.scene.home / ".snapmirror"
        assert {entry.name for entry in private.iterdir()} <= PRIVATE
        manifests = {entry.name.split(".")[0] for entry in (private / "manifests").iterdir()}
        assert set(ids) <= manifests
        for scratch in (private / "tmp", private / "partial", self.scene.scratch):
            left = list(scratch.iterdir()) if scratch.exists() else []
            # an empty file with a random name is how Python itself tries a temporary folder
            assert not [path for path in left if not re.fullmatch(r"[a-z0-9_]{8}", path.name) or path.is_dir()], left
        visible = {entry.name for entry in self.scene.home.iterdir()}
        assert all(re.fullmatch(r"backup\.\d+|by-date|\.snapmirror", name) for name in visible), visible

    def killed(self, point: crash.Point, *words: str) -> bool:
        """A night in which somebody is killed at this point; False if it was over before."""
        before = self.history.ids
        result = crash.killed_at(self.scene, point, "--json", "--accept-changes", *words)
        where = f"{point}, {crash.last_call(self.scene)[:200]}: {result}"
        if result.exit_code == 0:
            self.check(result.mirror["snapshot"])
            return False
        if result.exit_code in KILLED:
            if not self.scene.image:
                self.history.check_wreck(self.tree.fingerprint())
            return True
        # one of its programs was killed: the night fails, and unwinds as far as that program lets it
        assert result.exit_code in ((11, 12, 20) if self.scene.image else (11, 12)), where
        if result.exit_code != 20:
            assert self.scene.leftovers() == [], where
            with self.scene.browsing():
                assert self.history.check(where=f" at {where}") == before
        return True

    def kill_at_each(self, calls: tuple[str, ...], most: int) -> None:
        """Change, kill, recover, check; once for each point that a night has, or for `most` of them."""
        self.day()
        points, result = crash.points(self.scene, calls, "--json", "--accept-changes")
        assert result.exit_code == 0, str(result)
        self.check(result.mirror["snapshot"])
        killed = 0
        for number, point in enumerate(crash.spread(points, most)):
            self.day()
            killed += self.killed(point)
            if number % 3 == 0:
                self.day()
            self.night()
        assert killed or not points, f"none of {points} was reached again"

    def verify(self) -> None:
        result = self.scene.command("verify", "--full")
        assert result.exit_code == 0, str(result)


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
    for point in crash.spread(points, 1_000_000 if LONG else 3)[1:]:
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
