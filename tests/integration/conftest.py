"""The scene of a test that needs nothing special, and a folder for images; many files have one of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runner import Scene
from tests.support.sshd import Sshd, sshd_running
from tests.support.storage import put_first_on_path

CHEAP = """
words=("$@")
for number in "${!words[@]}"; do
    [ "${words[number]}" != 1000000 ] || words[number]=1000
done
exec "%s" "${words[@]}"
"""


@pytest.fixture(scope="module", autouse=True)
def _keys_that_are_cheap_to_try(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """LUKS1 with a thousandth of its iterations: half a second of the processor less whenever an image is opened.

    That the program asks for a million is in test_storage_init, which asks the real cryptsetup.
    """
    path = os.environ["PATH"]
    if real := shutil.which("cryptsetup", path=f"{path}:/usr/sbin:/sbin"):
        with pytest.MonkeyPatch.context() as patch:
            put_first_on_path(tmp_path_factory.mktemp("cheap"), "cryptsetup", CHEAP % real, patch.setenv)
            yield
    else:
        yield


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A store that is a plain folder, and a source of one file."""
    scene = Scene(tmp_path)
    scene.source.joinpath("file").write_text("0")
    yield scene
    scene.release()


@pytest.fixture
def sshd(scene: Scene) -> Iterator[Sshd]:
    """A server on loopback, from which the scene mirrors its source over ssh."""
    with sshd_running(scene.folder / "sshd") as server:
        scene.configure(source=f"{server.login}:{scene.source}", **server.options())
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the Scene `scene` and its image lie. Pytest would keep the images."""
    yield tmp_path
    Scene(tmp_path / "scene").release()
    shutil.rmtree(tmp_path)
