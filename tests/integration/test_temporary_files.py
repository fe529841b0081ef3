"""Where rsync makes its temporary files: in the scratch folder, but beside small ones where they are many; none is
published.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.files import put
from tests.support.runner import Scene

BIG = 1 << 20


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A first night, which asks for all at once, is past."""
    scene = Scene(tmp_path)
    put(scene.source / "first", b"first")
    assert scene.command("run").exit_code == 0
    yield scene
    scene.kill_processes()


def transfers(scene: Scene) -> list[str]:
    """The command lines of the rsyncs that fetch the files of a night, which must be a good one."""
    result = scene.command("--verbose", "run")
    assert result.exit_code == 0, str(result)
    newest = scene.slots()[1]
    for path in scene.source.rglob("*"):
        kept = newest / path.relative_to(scene.source)
        assert kept.is_dir() if path.is_dir() else kept.read_bytes() == path.read_bytes()
    assert {path.relative_to(newest) for path in newest.rglob("*")} == {
        path.relative_to(scene.source) for path in scene.source.rglob("*")
    }
    assert scene.command("verify", "--full").exit_code == 0
    return [line for line in result.stderr.splitlines() if "+ rsync" in line and "--files-from" in line]


def test_few_names_are_fetched_at_once(scene: Scene) -> None:
    put(scene.source / "folder" / "small", b"small")
    put(scene.source / "folder" / "big", os.urandom(BIG))
    [both] = transfers(scene)
    assert "--temp-dir" in both


def test_of_many_names_the_big_ones_are_fetched_on_their_own(scene: Scene) -> None:
    """A hard link group stays together, and a folder has the time that it has at the source."""
    for number in range(2_100):
        put(scene.source / f"folder{number % 7}" / f"small{number}", b"%d" % number)
    put(scene.source / "folder0" / "big", os.urandom(BIG))
    (scene.source / "folder1" / "further").hardlink_to(scene.source / "folder0" / "big")
    (scene.source / "folder2" / "second").hardlink_to(scene.source / "folder3" / "small3")
    for folder in scene.source.iterdir():
        os.utime(folder, (1_500_000_000, 1_500_000_000))
    small, big = transfers(scene)
    assert "--temp-dir" not in small and "--temp-dir" in big
    newest = scene.slots()[1]
    assert (newest / "folder1/further").samefile(newest / "folder0/big")
    assert (newest / "folder2/second").samefile(newest / "folder3/small3")
    assert {folder.stat().st_mtime for folder in newest.iterdir()} == {1_500_000_000.0}


def test_what_a_killed_rsync_leaves_beside_a_name_is_not_published(scene: Scene) -> None:
    put(scene.source / "folder" / "file", b"first")
    transfers(scene)
    put(scene.home / ".snapmirror/staging/0/folder/.file.AbC123", b"sec")
    put(scene.home / ".snapmirror/staging/0/folder/file", b"second", 1_600_000_100)
    put(scene.source / "folder" / "file", b"second", 1_600_000_100)
    transfers(scene)
