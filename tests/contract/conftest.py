"""The contract of a snapshot store: one suite, which every backend passes.

SNAPMIRROR_TEST_BACKENDS names the backends, out of `hardlink` (a plain folder), `image` (the same in an image with XFS)
and `zfs`. A kernel without ZFS runs the first two; tests/e2e/test_zfs.py runs the suite with `zfs` in the guest.

An image or a pool is made once, with a small self-test; each test works on a copy.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from tests.support.runner import Scene
from tests.support.storage import TINY
from tests.support.zfs_scene import ZfsScene

BACKENDS = os.environ.get("SNAPMIRROR_TEST_BACKENDS", "hardlink,image").split(",")

collect_ignore = [] if "zfs" in BACKENDS else ["test_zfs_store.py"]  # what only ZFS promises


def _make(backend: str, folder: Path) -> Scene:
    if backend == "zfs":
        return ZfsScene(folder)
    image = {"file": str(folder / "disk"), "size": "512M", "encryption": "none"}
    return Scene(folder, image=image if backend == "image" else {})


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a store that init has made, by backend."""
    made: dict[str, Path] = {}

    def of(backend: str) -> Path:
        if backend not in made:
            scene = _make(backend, tmp_path_factory.mktemp(backend))
            try:
                initialise(load(scene.config), workload=TINY)
            finally:
                scene.release()
            made[backend] = scene.folder
        return made[backend]

    return of


@pytest.fixture(params=BACKENDS)
def scene(request: pytest.FixtureRequest, tmp_path: Path, template: Callable[[str], Path]) -> Iterator[Scene]:
    """A store that is ready for its first night."""
    made = _make(request.param, tmp_path / "scene")
    for file in template(request.param).glob("disk*"):
        subprocess.run(["cp", "--sparse=always", str(file), str(made.folder)], check=True)
    try:
        yield made
        assert made.leftovers() == []
    finally:
        made.release()
