"""ext4 allows 65,000 names for one inode: a file that has them all goes on as a copy, and history stays right.

The names that a long history would have given the files are made by hand, outside of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from tests.conftest import Figures
from tests.support.runner import History, Scene
from tests.support.storage import TINY
from tests.support.trees import Tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices need root")
MOST = 65_000
GROUP = 20


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    image = {"file": str(tmp_path / "disk.img"), "size": "512M", "filesystem": "ext4", "encryption": "none"}
    scene = Scene(tmp_path / "scene", image=image)
    yield scene
    scene.release()
    Path(image["file"]).unlink(missing_ok=True)


def use_up(scene: Scene, name: str, left: int) -> None:
    """Give a file of the newest snapshot so many names that `left` more are possible."""
    with open_store(load(scene.config)):
        file = scene.slots()[1] / name
        folder = scene.store / f"names of {file.stat().st_ino}"
        folder.mkdir()
        for number in range(MOST - left - file.stat().st_nlink):
            os.link(file, folder / str(number))


def test_a_file_with_all_names_taken_goes_on_as_a_copy(scene: Scene, figures: Figures) -> None:
    scene.configure(keep_last=2)
    initialise(load(scene.config), workload=TINY)
    for name in ("alone", "group.0", "other"):
        (scene.source / name).write_text(name)
    for number in range(1, GROUP):
        os.link(scene.source / "group.0", scene.source / f"group.{number}")
    tree, history = Tree(scene.source), History(scene)
    tree.settle()
    warnings = []
    for night in range(7):
        (scene.source / "other").write_text(f"{night}")
        tree.settle()
        result = scene.night()
        warnings += result.mirror["warnings"]
        with scene.browsing():
            history.check(where=f" after night {night}")
            history.check_newest(tree.fingerprint())
        tree.published()
        if night in (0, 4):  # the next slot is a copy of all names; it is an expired snapshot's
            use_up(scene, "alone", 0)
            use_up(scene, "group.0", GROUP // 2)  # the next slot gets half of its names
    assert warnings == []
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, str(verified)
    figures.add("65,000 names of a file on ext4: all taken twice in 7 nights, 0 lost")
