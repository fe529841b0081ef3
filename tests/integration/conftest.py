"""The scene of a test that needs nothing special, and a folder for images; many files have one of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runner import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A store that is a plain folder, and a source of one file."""
    scene = Scene(tmp_path)
    scene.source.joinpath("file").write_text("0")
    yield scene
    scene.release()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the Scene `scene` and its image lie. Pytest would keep the images."""
    yield tmp_path
    Scene(tmp_path / "scene").release()
    shutil.rmtree(tmp_path)
