"""A signal that comes while the store is being released: the release is whole all the same, and says so.

`umount` (or losetup) on PATH stands still for a moment before it does its work; the signal comes in that moment.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runner import Scene
from tests.support.waiting import until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path, image={"file": str(tmp_path / "x.img"), "size": "512M", "encryption": "none"})
    scene.source.joinpath("file").write_text("content")
    initialised = scene.command("init")
    assert initialised.exit_code == 0, str(initialised)
    yield scene
    scene.release()


@pytest.mark.parametrize("program", ["umount", "losetup"])
def test_release_is_whole(scene: Scene, program: str) -> None:
    waiting = scene.folder / "waiting"
    # (while it opens the store, it unmounts the place where nobody else can enter)
    word = f"{scene.store}" if program == "umount" else "detach"
    undoing = f'case "$*" in *"{word}"*) true;; *) false;; esac'
    real = f'exec "$(PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v {program})" "$@"'
    scene.fake_program(program, f'#!/bin/sh\nif {undoing}; then touch "{waiting}"; sleep 1; fi\n{real}\n')
    process = scene.start("run", "--json")
    until(waiting.exists, f"{program} was called", running=process)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    result = scene.finish(process, timeout=60)
    assert scene.leftovers() == [], str(result)
    assert result.exit_code == 143, str(result)
    (scene.programs / program).unlink()
    assert len(scene.command("list", "--json").json) == 1
