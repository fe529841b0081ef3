"""A store whose nights are disturbed: its tree changes before each, and its history must stay true whatever happens."""

from __future__ import annotations

import random
import re
import signal
import time
from datetime import UTC, datetime

from tests.support import crash
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import History, Scene
from tests.support.trees import Tree

KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
# what the page `formats` says may lie beside the manifests between two nights
PRIVATE = {
    "record.json", "manifests", "sums", "hints", "changes", "slot", "parked", "staging", "record.json.previous",
    "read-back.json",
}  # fmt: skip


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
        """Nothing is left in .snapmirror that the page `formats` does not name, and nothing of the killed run."""
        private = self.scene.home / ".snapmirror"
        assert {entry.name for entry in private.iterdir()} <= PRIVATE
        manifests = {entry.name.split(".")[0] for entry in (private / "manifests").iterdir()}
        assert set(ids) <= manifests
        for scratch in (private / "staging" / "tmp", private / "staging" / "partial", self.scene.scratch):
            left = list(scratch.iterdir()) if scratch.exists() else []
            # an empty file with a random name is how Python itself tries a temporary folder
            assert not [path for path in left if not re.fullmatch(r"[a-z0-9_]{8}", path.name) or path.is_dir()], left
        assert {entry.name for entry in (private / "staging").iterdir()} == {"tmp", "partial"}
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
