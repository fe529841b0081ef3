"""A year of nights on a small tree, with a crash every few nights: nothing leaks, and what retention keeps is there.

The clock is faked (libfaketime), a day for each night; killed nights end with SIGKILL for all of their processes at a
random moment. Memory cannot leak from night to night: each is a process of its own.

    SNAPMIRROR_TEST_LONG=1    365 nights instead of 30
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Figures
from tests.support.clock import shifted
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import LONG, History, Result, Scene
from tests.support.trees import Tree

NIGHTS = 365 if LONG else 30
KEEP = 4
CRASH_EACH = 5
PAST_SECONDS = 400 * 86400  # the year ends before today: a restore and other programs see no future


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    image = {"file": str(tmp_path / "disk.img"), "size": "512M", "encryption": "none"}
    scene = Scene(tmp_path / "scene", image=image)
    yield scene
    scene.release()
    shutil.rmtree(tmp_path)


def under_clock(night: int) -> list[str]:
    """What runs a program on the day of that night."""
    return shifted(f"{night * 86400 - PAST_SECONDS:+d}")


def run(scene: Scene, night: int) -> Result:
    result = scene.command("run", "--json", under=under_clock(night))
    assert result.exit_code == 0, str(result)
    assert scene.leftovers() == []
    return result


def crashed(scene: Scene, night: int, rng: random.Random) -> None:
    """A night of which everything is killed at some moment; it may have been over."""
    process = scene.start("run", "--json", under=under_clock(night))
    time.sleep(rng.uniform(0.1, 1.5))
    scene.kill_processes()
    process.communicate()


def unaccounted(store: Path) -> tuple[int, int]:
    """Inodes and bytes that the file system counts as used, but that no name leads to."""
    status = os.statvfs(store)
    inodes: dict[int, int] = {}
    folders = [os.fsencode(store)]
    while folders:
        folder = folders.pop()
        for path in (folder, *(os.path.join(folder, name) for name in os.listdir(folder))):
            state = os.lstat(path)
            inodes[state.st_ino] = state.st_blocks * 512
            if stat.S_ISDIR(state.st_mode) and path != folder:
                folders.append(path)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    return status.f_files - status.f_ffree - len(inodes), used - sum(inodes.values())


def test_a_year(scene: Scene, figures: Figures) -> None:
    rng = random.Random("soak")
    scene.configure(KEEP)
    assert (init := scene.command("init")).exit_code == 0, str(init)
    tree, history = Tree(scene.source), History(scene)
    tree.grow(random_kinds(rng, 30))
    tree.settle()
    crashes, floor = 0, (0, 0)
    for night in range(NIGHTS):
        live_a_day(tree, random_changes(rng, 6))
        if night % CRASH_EACH == CRASH_EACH - 1:
            crashed(scene, night, rng)
            crashes += 1
            live_a_day(tree, random_changes(rng, 2))
        run(scene, night)
        with scene.browsing():
            ids = history.check(where=f" after night {night}")
            assert len(ids) == min(night + 1, KEEP)
            history.check_newest(tree.fingerprint())
            if night == KEEP:
                floor = unaccounted(scene.store)
            inodes, size = unaccounted(scene.store)
        tree.published()
        if night > KEEP:
            assert inodes <= floor[0], f"night {night}: {inodes - floor[0]} inodes have leaked"
            assert size <= floor[1] + (8 << 20), f"night {night}: {size - floor[1]} bytes have leaked"
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, str(verified)
    assert list(scene.scratch.iterdir()) == []
    assert len(list(scene.state.iterdir())) <= 6
    figures.add(f"soak: {NIGHTS} nights, {crashes} of them crashed first, 0 lost, 0 leaked")
