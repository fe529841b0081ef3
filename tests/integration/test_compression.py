"""Compression on the line: ssh and daemons, what an old or refusing server makes of it, and what the report says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runner import Scene
from tests.support.sshd import RRSYNC, Sshd, rsync_daemon_running

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the private daemon serves files of several owners")
TEXT = b"".join(b"%d lines that compress as logs do\n" % number for number in range(20_000))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    (scene.source / "log").write_bytes(TEXT)
    (scene.source / "noise").write_bytes(os.urandom(300_000))
    yield scene
    scene.release()


def assert_kept(scene: Scene) -> None:
    for name in ("log", "noise"):
        assert (scene.slots()[1] / name).read_bytes() == (scene.source / name).read_bytes()


@pytest.mark.parametrize(("choice", "saves"), [("auto", True), ("zstd", True), ("zlib", True), ("off", False)])
def test_over_ssh(scene: Scene, sshd: Sshd, choice: str, saves: bool) -> None:
    """Twice: new files, then files that were changed, of which rsync sends the differences."""
    scene.configure(compress=choice)
    for _ in range(2):
        told = scene.night()
        moved, saved = told.mirror["bytes_transferred"], told.mirror["bytes_saved"]
        assert_kept(scene)
        assert (saved > moved / 3) == saves and saved < moved, str(told)
        (scene.source / "log").write_bytes(TEXT[: len(TEXT) // 2] + TEXT.replace(b"logs", b"mails"))
    (scene.source / "another").write_bytes(TEXT[::-1])
    plain = scene.command("run")
    assert bool(re.search(r"KiB fetched as [0-9.]+ KiB compressed", plain.stdout)) == saves, str(plain)


def test_a_restricted_key_allows_it(scene: Scene, sshd: Sshd) -> None:
    key = sshd.restrict(f"{RRSYNC} -ro {scene.source}")
    scene.configure(source=f"{sshd.login}:/", identity=str(key))
    assert scene.night().mirror["bytes_saved"] > len(TEXT) / 2
    assert_kept(scene)


def test_an_old_server_compresses_by_zlib(scene: Scene, sshd: Sshd) -> None:
    """One without zstd, as before 3.2."""
    scene.configure(rsync_path="env RSYNC_COMPRESS_LIST=zlib rsync")
    assert scene.night().mirror["bytes_saved"] > len(TEXT) / 2
    assert_kept(scene)


def test_a_daemon_that_refuses(scene: Scene) -> None:
    """`auto` goes on without; what was asked for by name is an error that says what to change."""
    with rsync_daemon_running(scene.folder / "daemon", scene.source, refused="compress") as port:
        scene.configure(source=f"rsync://127.0.0.1:{port}/data/")
        told = scene.night()
        assert (told.mirror["bytes_saved"], told.mirror["warnings"]) == (0, []), str(told)
        assert_kept(scene)
        (scene.source / "log").write_bytes(TEXT[::-1] * 2)
        scene.configure(compress="zstd")
        refused = scene.night(expect=(12,))
        assert "the server refuses to compress" in refused.mirror["error"]
        assert refused.mirror["hint"] == 'set compress = "off" for this mirror'
        scene.configure(compress="off")
        scene.night()
        assert_kept(scene)


def test_a_daemon(scene: Scene) -> None:
    with rsync_daemon_running(scene.folder / "daemon", scene.source) as port:
        scene.configure(source=f"rsync://127.0.0.1:{port}/data/")
        assert scene.night().mirror["bytes_saved"] > len(TEXT) / 2
        assert_kept(scene)


def test_a_local_source_is_not_compressed(scene: Scene) -> None:
    scene.configure(compress="zstd")
    assert scene.night().mirror["bytes_saved"] == 0
    assert_kept(scene)
