"""A server that falls silent: `timeout_seconds` counts what really arrives, which rsync's own --timeout does not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.runner import History, Scene
from tests.support.sshd import Sshd, sshd_running
from tests.support.trees import Tree
from tests.support.waiting import until

SILENT_AFTER = "nothing has arrived for 3 seconds"
# What the server's rsync says is cut off after some bytes, and nothing is closed, until the client goes away.
CUT_OFF = """#!/bin/sh
exec 3<&0
rsync "$@" | { head --bytes=2000; cat <&3 >/dev/null; }
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd_running(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def scene(tmp_path: Path, server: Sshd) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    scene.configure(source=f"{server.login}:{scene.source}/", timeout_seconds=3, **server.options())
    for number in range(300):
        (scene.source / f"file{number}").write_text("x" * number)
    Tree(scene.source).settle()
    yield scene
    scene.release()


@contextmanager
def stopped(server: Sshd) -> Iterator[None]:
    """Every session of the server stands still, and its connection stays open: to the client, a cable that is out."""
    sessions = psutil.Process(int((server.folder / "pid").read_text())).children(recursive=True)
    for session in sessions:
        session.suspend()
    try:
        yield
    finally:
        for session in sessions:
            session.kill()


def big_file(scene: Scene, size: int) -> None:
    (scene.source / "big").write_bytes(random.Random(1).randbytes(size))
    Tree(scene.source).settle()


def test_a_cable_that_is_out_ends_the_transfer(scene: Scene, server: Sshd) -> None:
    scene.night()
    history = History(scene)
    history.check()
    big_file(scene, 20 << 20)
    scene.configure(bandwidth_limit="2M")
    process = scene.start("run", "--json")
    until(
        lambda: any(path.stat().st_size > 100_000 for path in scene.store.rglob("big.*")), "the file is being fetched"
    )
    with stopped(server):
        result = scene.finish(process)
    assert result.exit_code == 12, str(result)
    assert SILENT_AFTER in result.mirror["error"]
    before = history.ids
    assert history.check() == before
    assert scene.leftovers() == []
    scene.configure(bandwidth_limit=None)
    scene.night()
    history.check()
    history.check_newest(Tree(scene.source).fingerprint())


def test_a_server_that_falls_silent_ends_the_listing(scene: Scene, tmp_path: Path) -> None:
    program = tmp_path / "cut-off"
    program.write_text(CUT_OFF)
    program.chmod(0o755)
    scene.configure(rsync_path=str(program))
    result = scene.night(expect=(12,))
    assert SILENT_AFTER in result.mirror["error"]
    assert scene.leftovers() == []


def test_a_slow_server_is_not_a_silent_one(scene: Scene) -> None:
    """A file takes longer than `timeout_seconds`: rsync prints nothing meanwhile, but some of it arrives."""
    big_file(scene, 200 << 10)
    scene.configure(bandwidth_limit="30K")
    assert scene.night().mirror["bytes_transferred"] >= 200 << 10
