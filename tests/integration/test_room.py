"""Room is counted as what files take: sparse files larger than the disk come, and come back; real ones are refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.runner import Scene
from tests.support.sshd import sshd_running

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="small disks are mounted")
MIB = 1 << 20


@contextmanager
def small_disk(place: Path, mib: int) -> Iterator[Path]:
    """An ext4 of its own. (tmpfs would do, but there all room is memory.)"""
    image = place.with_suffix(".disk")
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", image, f"{mib}M"], check=True)
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def sparse(path: Path, size: int, *, data: int = 0) -> None:
    """A file with some data at its beginning, in its middle and at its end, and holes between."""
    with path.open("wb") as file:
        for start in (0, size // 2, size - 4096):
            file.seek(start)
            file.write(os.urandom(max(4096, data // 3)))
        file.truncate(size)
    assert path.lstat().st_blocks * 512 < size // 2


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with small_disk(tmp_path / "store", 64):
        scene = Scene(tmp_path)
        (scene.store / "lost+found").rmdir()
        (scene.source / "small").write_text("small")
        yield scene
        scene.kill_processes()


@pytest.mark.parametrize("remote", [False, True], ids=["local", "ssh"])
def test_a_sparse_file_larger_than_the_store(scene: Scene, remote: bool) -> None:
    """It is new, then changed and longer, then there is a second name; each night has room."""
    log = scene.source / "lastlog"
    sparse(log, 100 * MIB)
    with ExitStack() as stack:
        if remote:
            server = stack.enter_context(sshd_running(scene.folder / "sshd"))
            scene.configure(source=f"{server.login}:{scene.source}", **server.options())
        for size in (100, 101):
            with log.open("r+b") as file:
                file.truncate(size * MIB)
                file.write(b"login")
            assert scene.night().mirror["warnings"] == []
            there = scene.slots()[1] / "lastlog"
            assert there.stat().st_size == size * MIB and there.stat().st_blocks * 512 < MIB
        os.link(log, scene.source / "again")
        assert scene.night().mirror["warnings"] == []
    with small_disk(scene.folder / "back", 16) as back:
        restored = scene.command("restore", "newest", "/lastlog", "--to", str(back), "--yes")
        assert restored.exit_code == 0, str(restored)
        assert (back / "lastlog").stat().st_size == 101 * MIB
        there = scene.slots()[1] / "lastlog"
        assert subprocess.run(["cmp", back / "lastlog", there], check=False).returncode == 0


@pytest.mark.parametrize("remote", [False, True], ids=["local", "ssh"])
def test_a_real_file_that_is_too_large(scene: Scene, remote: bool) -> None:
    """Refused at once, and named; nothing is fetched."""
    sparse(scene.source / "log", 100 * MIB)
    with ExitStack() as stack:
        if remote:
            server = stack.enter_context(sshd_running(scene.folder / "sshd"))
            scene.configure(source=f"{server.login}:{scene.source}", **server.options())
        scene.night()
        (scene.source / "huge").write_bytes(b"x" * (50 * MIB))
        scene.configure(guard={"min_free": "8M"})
        [planned] = scene.command("plan", "--json").json
        assert [one["exit_code"] for one in planned["refusals"]] == [11], "said before, and sparse files are no reason"
        mirror = scene.night(expect=(11,)).mirror
        assert mirror["error"].startswith("50.0 MiB are to come, but") and "min_free" in mirror["error"], mirror
        assert "the largest: 'huge' (50.0 MiB)" in mirror["hint"]
        assert ("if they are sparse, run again with --accept-changes" in mirror["hint"]) == remote
        assert mirror["bytes_transferred"] == 0 and list(scene.slots()) == [1]


def test_what_is_taken_for_sparse_and_is_not(scene: Scene) -> None:
    """A real file that is larger than the store: the night ends when the room does, gives it back, and names it."""
    (scene.source / "huge").write_bytes(os.urandom(MIB) * 70)
    with sshd_running(scene.folder / "sshd") as server:
        scene.configure(source=f"{server.login}:{scene.source}", **server.options())
        before = os.statvfs(scene.store).f_bavail
        mirror = scene.night(expect=(11,)).mirror
        assert "'huge' (70.0 MiB)" in mirror["hint"] and "0 B are to come" not in mirror["error"], mirror
        assert scene.slots() == {}
        assert os.statvfs(scene.store).f_bavail > before - 2 * MIB // 4096
        scene.configure(exclude=["/huge"])
        assert scene.night().mirror["warnings"] == []


def test_a_new_sparse_file_that_might_be_real(scene: Scene) -> None:
    """From a server only its size is known: refused, until somebody says that it is sparse."""
    sparse(scene.source / "disk.img", 50 * MIB)
    with sshd_running(scene.folder / "sshd") as server:
        scene.configure(source=f"{server.login}:{scene.source}", guard={"min_free": "8M"}, **server.options())
        refused = scene.night(expect=(11,)).mirror
        assert "--accept-changes" in refused["hint"] and "'disk.img'" in refused["hint"]
        scene.night("--accept-changes")
        (scene.source / "disk.img").touch()
        assert scene.night().mirror["updated"] == 1, "it is known by now"


def test_a_folder_that_was_renamed_needs_no_room(scene: Scene) -> None:
    (scene.source / "old").mkdir()
    for number in range(3):
        (scene.source / f"old/{number}").write_bytes(os.urandom(MIB) * 12)
    (scene.source / "old/group").hardlink_to(scene.source / "old/0")
    with sshd_running(scene.folder / "sshd") as server:
        scene.configure(source=f"{server.login}:{scene.source}", **server.options())
        scene.night()
        (scene.source / "old").rename(scene.source / "new")
        space = os.statvfs(scene.store)
        assert space.f_bavail * space.f_frsize < 36 * MIB
        mirror = scene.night().mirror
        assert (mirror["moved_names"], mirror["bytes_transferred"], mirror["warnings"]) == (4, 0, []), mirror


def test_a_file_that_was_taken_for_moved_and_is_not(scene: Scene) -> None:
    """The night ends when the room does, gives it back, and history is whole."""
    old = scene.source / "old"
    old.write_bytes(os.urandom(MIB) * 36)
    os.utime(old, (10**9, 10**9))
    with sshd_running(scene.folder / "sshd") as server:
        scene.configure(source=f"{server.login}:{scene.source}", **server.options())
        scene.night()
        before = os.statvfs(scene.store).f_bavail
        new = old.rename(scene.source / "new")
        new.write_bytes(os.urandom(MIB) * 36)
        os.utime(new, (10**9, 10**9))
        mirror = scene.night(expect=(11,)).mirror
        assert "'new' (36.0 MiB)" in mirror["hint"], mirror
        assert list(scene.slots()) == [1]
        assert os.statvfs(scene.store).f_bavail > before - 2 * MIB // 4096
        assert scene.command("verify", "--full").exit_code == 0


def test_restoring_a_real_file_without_room(scene: Scene) -> None:
    (scene.source / "real").write_bytes(os.urandom(20 * MIB))
    sparse(scene.source / "sparse", 100 * MIB, data=15 * MIB)
    scene.night()
    with small_disk(scene.folder / "back", 16) as back:
        refused = scene.command("restore", "newest", "/real", "--to", str(back / "to"), "--yes")
        assert refused.exit_code == 11 and "the restore needs 20.0 MiB" in refused.stderr, str(refused)
        assert not (back / "to").exists()
        assert scene.command("restore", "newest", "/sparse", "--to", str(back / "to"), "--yes").exit_code == 0
        full = scene.command("restore", "newest", "/sparse", "--to", str(back / "again"), "--yes")
        assert full.exit_code == 11, str(full)
