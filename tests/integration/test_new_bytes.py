"""NEW tells what a snapshot has really added, where the file system can tell."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support.runner import Scene


@pytest.mark.skipif(os.geteuid() != 0, reason="an image needs root")
def test_a_patched_clone_adds_what_differs(folder: Path) -> None:
    scene = Scene(folder / "scene", image={"file": str(folder / "i.img"), "size": "512M", "encryption": "none"})
    scene.configure(clone_above="1M")
    assert scene.command("init").exit_code == 0
    big = scene.source / "big"
    content = bytearray(os.urandom(16 << 20))
    big.write_bytes(content)
    (scene.source / "small").write_bytes(b"1" * 1000)
    scene.night()
    content[5 << 20] ^= 1
    big.write_bytes(content)
    os.utime(big, (1_700_000_000, 1_700_000_000))  # the same second and size would be missed
    (scene.source / "small").write_bytes(b"2" * 3000)
    scene.night()
    newest, oldest = scene.command("list", "--json").json
    assert (oldest["new_bytes"], oldest["shared_bytes"]) == ((16 << 20) + 1000, 0)
    assert newest["new_bytes"] == (16 << 20) + 3000
    assert 3000 < newest["new_bytes"] - newest["shared_bytes"] < 1 << 20
    [line] = [line for line in scene.command("list").stdout.splitlines() if newest["id"] in line]
    assert re.search(r"[\d.]+ KiB +of 16\.0 MiB, the rest shared", line), line


def test_without_clones_it_is_the_size(scene: Scene) -> None:
    (scene.source / "file").write_bytes(b"1" * 2000)
    scene.night()
    [one] = scene.command("list", "--json").json
    assert (one["new_bytes"], one["shared_bytes"]) == (2000, 0)
    assert "shared" not in scene.command("list").stdout
