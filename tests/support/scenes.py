"""Scenes that several tests begin with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snapmirror.config import load
from snapmirror.state_folder import state_file
from snapmirror.storage.initialise import initialise
from tests.support.runner import Scene
from tests.support.storage import TINY, stack_image


@contextmanager
def encrypted(folder: Path) -> Iterator[Scene]:
    """A new store in an encrypted image, and one file to mirror; nothing of it may stay open."""
    (folder / "img").mkdir(parents=True)
    scene = Scene(folder / "scene", image=stack_image(folder / "img", "luks1", "ext4"))
    (scene.source / "file").write_text("one\n")
    initialise(load(scene.config), workload=TINY)
    try:
        yield scene
        assert scene.leftovers() == []
    finally:
        scene.release()


def copy_of(sealed: Scene, folder: Path, *, keep_last: int) -> Scene:
    """A scene as it is, in another folder, with what the machine remembers of its store."""
    subprocess.run(["cp", "--archive", sealed.folder, folder], check=True)
    scene = Scene(folder)
    scene.configure(keep_last=keep_last)
    old, new = state_file(load(sealed.config), ""), state_file(load(scene.config), "")
    for file in scene.state.glob(f"{old.name}*"):
        file.rename(f"{new}{file.name.removeprefix(old.name)}")
    return scene
