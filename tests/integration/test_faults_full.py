"""No space and no inodes, at each step of a night: told, undone, and put right by the next night.

A night stands still right after a system call of the step; meanwhile a place is filled to the last byte: the image
itself, its inodes, the disk below the sparse image, the folder of the state, that of temporary files. Then it goes on.

    SNAPMIRROR_TEST_LONG=1    a dozen points in each step, on both file systems, instead of one in some
"""

from __future__ import annotations

import itertools
import mmap
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapmirror.tools import loop
from tests.conftest import Figures
from tests.support import crash
from tests.support.full import PLACES, Place, fillable, leave, small_volume
from tests.support.runner import LONG
from tests.support.victim import Victim

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")
WORDS = ("--json", "--accept-changes")
EACH = 12 if LONG else 1
# with keep_last: a slot that is a copy, or a recycled one
QUICK = [("xfs", "image", 2), ("ext4", "inodes", 2), ("ext4", "state", 2)]
ALL = [
    (filesystem, place, keep_last)
    for filesystem, place, keep_last in itertools.product(("xfs", "ext4"), PLACES, (1000, 2))
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path)  # images: pytest would keep them


class Filled:
    """Nights of one store, in each of which one place gets full."""

    def __init__(self, place: Place) -> None:
        self.place, self.scene = place, place.scene
        self.victim = Victim(place.scene, place.name)
        self.ends: Counter[str] = Counter()

    def night(self, step: str, point: crash.Point, *, again: bool) -> None:
        victim, history = self.victim, self.victim.history
        before = history.ids
        result, filled = crash.changed_at(self.scene, point, self.place.fill, *WORDS)
        where = f"{self.place.name} full in {step} at {point}: {result}"
        if not filled:
            assert result.exit_code == 0, where
            victim.check(result.mirror["snapshot"])
            self.ends["over before"] += 1
            return
        assert result.exit_code in (0, 3, 11), where
        assert self.scene.leftovers() == [], where
        if result.exit_code == 11:
            told = result.json.get("error") or result.mirror["error"]
            assert told, where
        if again and result.exit_code == 11:
            still = self.scene.night("--accept-changes", expect=(0, 3, 11))
            assert self.scene.leftovers() == [], f"again, {where}, then {still}"
        self.place.empty()
        if result.exit_code != 11:
            ids = self.checked(where)
            assert ids[0] == result.mirror["snapshot"] != before[0], where
        self.ends[f"{step}: {result.exit_code}"] += 1
        victim.day()
        victim.night()

    def checked(self, where: str) -> list[str]:
        with self.scene.browsing():
            return self.victim.history.check(where=f", {where}")


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_a_write_of_which_a_part_has_room_is_told(folder: Path, filesystem: str, figures: Figures) -> None:
    """The loop driver takes a write that was done in part for a whole one: what lies below must not do that."""
    room, told = mmap.mmap(-1, 1 << 16), 0
    with small_volume(folder / "disk", 400, filesystem) as disk:
        with (disk / "image").open("wb") as file:
            file.truncate(100 << 20)
        with loop.attached(disk / "image") as device:
            for number in range(12):
                room[:] = bytes([number + 1]) * len(room)
                leave(disk / "filler", blocks=number + 1)
                descriptor = os.open(device.device, os.O_RDWR | os.O_DIRECT)
                try:
                    with pytest.raises(OSError):
                        os.pwrite(descriptor, room, number << 20)
                        os.fsync(descriptor)
                    told += 1
                finally:
                    os.close(descriptor)
    figures.add(f"writes of which a part has room, {filesystem}: {told} tried, all told")


@pytest.mark.parametrize(("filesystem", "name", "keep_last"), ALL if LONG else QUICK)
def test_a_place_gets_full(folder: Path, filesystem: str, name: str, keep_last: int, figures: Figures) -> None:
    with fillable(folder, filesystem, name) as place:
        filled = Filled(place)
        victim, scene = filled.victim, place.scene
        scene.configure(keep_last)
        for _ in range(3):
            victim.day()
            victim.night()
        victim.day()
        steps, result = crash.steps(scene, *WORDS)
        assert result.exit_code == 0, str(result)
        victim.check(result.mirror["snapshot"])
        rng = random.Random(f"{filesystem} {name} {keep_last}")
        for number, (step, points) in enumerate(steps.items()):
            chosen = crash.spread(points, EACH) if LONG else [rng.choice(points)]
            for turn, point in enumerate(chosen):
                victim.day()
                filled.night(step, point, again=(number + turn) % 3 == 0)
        victim.verify()
    told = ", ".join(f"{end} × {count}" for end, count in sorted(filled.ends.items()))
    figures.add(f"{name} full, {filesystem}: {filled.ends.total()} nights tried ({told}), 0 lost")
