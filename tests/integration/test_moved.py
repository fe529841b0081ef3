"""Names that moved: linked, not sent or stored again, where content and all attributes are the same; and only there."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.files import flip, put
from tests.support.fingerprint import fingerprint
from tests.support.runner import History, Result, Scene
from tests.support.siege import xfs_mounted
from tests.support.sshd import RRSYNC, Sshd, rsync_daemon_running

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other owners need root")
NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups rsync"
BIG = 600_000
"""Two of these are worth a comparison."""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.kill_processes()


class Nights:
    """A scene with some files, whose nights are held to the source and to history."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.source, self.history = scene, scene.source, History(scene)
        self._rng = random.Random(7)
        self._time = 1_600_000_000

    def put(self, name: str, size: int = BIG, *, when: int | None = None) -> Path:
        """A file of new content, and of a time of its own."""
        self._time += 10
        put(self.source / name, self._rng.randbytes(size), self._time if when is None else when)
        return self.source / name

    def night(self, *words: str, moved: int | None = None, warns: bool = False) -> Result:
        """A night that must end with the source; `moved` names."""
        for folder in (self.source, *(one for one in self.source.rglob("*") if one.is_dir())):
            self._time += 1  # else it may change again within its second, unseen
            os.utime(folder, (self._time, self._time))
        source = fingerprint(self.source)
        result = self.scene.night("--accept-changes", *words, expect=(3,) if warns else (0,))
        self.history.check()
        if not warns:
            self.history.check_newest(source, full=True)
        verified = self.scene.command("verify", "--full")
        assert verified.exit_code == 0, str(verified)
        if moved is not None:
            assert result.mirror["moved_names"] == moved, str(result)
        assert {one.name for one in (self.scene.home / ".snapmirror/staging").iterdir()} == {"tmp", "partial"}
        return result

    def inode(self, name: str, slot: int = 1) -> int:
        return (self.scene.slots()[slot] / name).stat().st_ino


@pytest.fixture
def nights(scene: Scene) -> Nights:
    return Nights(scene)


def test_a_renamed_folder(nights: Nights) -> None:
    for number in range(4):
        nights.put(f"old/deep/{number}", BIG)
    for number in range(20):
        nights.put(f"old/small/{number}", 100)
    nights.put("old/empty", 0)
    nights.night()
    (nights.source / "old").rename(nights.source / "new")
    result = nights.night(moved=24)
    assert result.mirror["moved_bytes"] == 4 * BIG + 20 * 100
    assert result.mirror["bytes_transferred"] == 0
    for name in ("deep/0", "small/19"):
        assert nights.inode(f"new/{name}") == nights.inode(f"old/{name}", 2)
    [newest, *_] = nights.scene.command("list", "--json").json
    assert newest["new_bytes"] == 0
    nights.night(moved=0)
    diff = nights.scene.command("diff", "--json", "3", "1")
    assert {one["change"] for one in diff.json if one["path"].startswith("new/deep/")} == {"moved"}


def test_it_says_so_in_words(nights: Nights) -> None:
    nights.put("old/one", 2 * BIG)
    nights.night()
    (nights.source / "old").rename(nights.source / "new")
    result = nights.scene.command("run", "--accept-changes")
    assert "1 name moved (1.1 MiB not stored again)" in result.stdout, str(result)


@pytest.mark.parametrize("restricted", [False, True])
def test_over_ssh(nights: Nights, sshd: Sshd, restricted: bool) -> None:
    nights.scene.configure(source=f"{sshd.login}:{nights.source}/", **sshd.options())
    if restricted:
        key = sshd.restrict(f"{RRSYNC} -ro {nights.source}")
        nights.scene.configure(source=f"{sshd.login}:/", identity=str(key))
    nights.put("old/one")
    nights.put("old/two")
    nights.night()
    (nights.source / "old").rename(nights.source / "new")
    assert nights.night(moved=2).mirror["bytes_transferred"] == 0


def test_logs_that_rotate(nights: Nights) -> None:
    nights.put("log/a.log")
    nights.night()
    for night in range(4):
        for number in (3, 2, 1):
            if (older := nights.source / f"log/a.log.{number}").exists():
                older.rename(nights.source / f"log/a.log.{number + 1}")
        (nights.source / "log/a.log").rename(nights.source / "log/a.log.1")
        nights.put("log/a.log")
        nights.put("log/filler", 600_000)  # so that a single rotated log is worth it
        nights.night(moved=night + 1)
        assert nights.inode("log/a.log.1") == nights.inode("log/a.log", 2)


def test_small_mail_is_sent_but_not_stored_again(nights: Nights) -> None:
    for number in range(5):
        nights.put(f"new/{number}", 900)
    (nights.source / "cur").mkdir()
    nights.night()
    for number in range(5):
        (nights.source / f"new/{number}").rename(nights.source / f"cur/{number}:2,S")
    result = nights.night(moved=5)
    assert result.mirror["bytes_transferred"] == 5 * 900
    assert nights.inode("cur/3:2,S") == nights.inode("new/3", 2)
    [newest, *_] = nights.scene.command("list", "--json").json
    assert newest["new_bytes"] == 0


@pytest.mark.parametrize("size", [500, 2 * BIG])
def test_same_size_and_time_but_not_the_content(nights: Nights, size: int) -> None:
    nights.put("old", size, when=1_500_000_000)
    nights.night()
    (nights.source / "old").unlink()
    nights.put("new", size, when=1_500_000_000)
    nights.night(moved=0)
    assert nights.inode("new") != nights.inode("old", 2)


@pytest.mark.parametrize("size", [500, 2 * BIG])
@pytest.mark.parametrize("what", ["mode", "owner", "fraction", "xattr", "xattr gone", "acl"])
def test_another_attribute(nights: Nights, what: str, size: int) -> None:
    file = nights.put("old", size)
    if what == "xattr gone":
        os.setxattr(file, "user.a", b"1")
    nights.night()
    file = file.rename(nights.source / "new")
    status = file.stat()
    match what:
        case "mode":
            file.chmod(0o600)
        case "owner":
            os.chown(file, 1234, 1234)
        case "fraction":
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        case "xattr":
            os.setxattr(file, "user.a", b"1")
        case "xattr gone":
            os.removexattr(file, "user.a")
        case "acl":
            subprocess.run(["setfacl", "--modify", "user:1234:r", file], check=True)
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    nights.night(moved=0)


def test_names_that_are_exchanged(nights: Nights) -> None:
    one, two = nights.put("one"), nights.put("two")
    nights.night()
    one.rename(nights.source / "aside")
    two.rename(one)
    (nights.source / "aside").rename(two)
    nights.night(moved=2)
    assert nights.inode("one") == nights.inode("two", 2)


def test_a_copy_is_not_sent_and_is_a_file_of_its_own(nights: Nights) -> None:
    file = nights.put("one", 8 * BIG)
    os.setxattr(file, "user.a", b"1")
    subprocess.run(["setfacl", "--modify", "user:1234:r", file], check=True)
    nights.put("other", 8 * BIG)
    nights.night()
    for name in ("two", "folder/two"):
        (nights.source / name).parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "--archive", file, nights.source / name], check=True)
    result = nights.night(moved=0)
    assert (result.mirror["copied_names"], result.mirror["copied_bytes"]) == (2, 16 * BIG)
    assert result.mirror["bytes_transferred"] == 0
    assert len({nights.inode(name) for name in ("one", "two", "folder/two")}) == 3
    file.unlink()
    (nights.source / "two").rename(nights.source / "four")
    subprocess.run(["cp", "--archive", nights.source / "four", nights.source / "three"], check=True)
    result = nights.night()
    assert (result.mirror["copied_names"], result.mirror["moved_names"]) == (0, 2)


@pytest.fixture
def on_xfs(tmp_path: Path) -> Iterator[Nights]:
    with xfs_mounted(tmp_path) as mounted:
        nights = Nights(Scene(mounted / "scene"))
        yield nights
        nights.scene.kill_processes()


def test_copies_share_their_blocks(on_xfs: Nights) -> None:
    nights = on_xfs
    nights.scene.configure(clone_above="1M")
    file = nights.put("one", 20_000_000)
    nights.night()
    subprocess.run(["cp", "--archive", "--reflink=never", file, nights.source / "two"], check=True)
    subprocess.run(["sync", "--file-system", nights.source], check=True)
    before = os.statvfs(nights.source).f_bfree
    assert nights.night().mirror["copied_names"] == 1
    subprocess.run(["sync", "--file-system", nights.source], check=True)
    assert (before - os.statvfs(nights.source).f_bfree) * 4096 < 1_000_000
    [newest, *_] = nights.scene.command("list", "--json").json
    assert newest["new_bytes"] == newest["shared_bytes"] == 20_000_000


@pytest.mark.parametrize("is_same", [True, False])
def test_a_file_too_big_to_be_compared_is_patched(on_xfs: Nights, sshd: Sshd, is_same: bool) -> None:
    """Too big: a slow server could not read it within timeout_seconds without a word."""
    nights = on_xfs
    nights.scene.configure(source=f"{sshd.login}:{nights.source}/", timeout_seconds=5, **sshd.options())
    file = nights.put("folder/one", 22_000_000)
    nights.night()
    status = file.stat()
    file = file.rename(nights.source / "two")
    if not is_same:
        with file.open("r+b") as changed:
            changed.seek(11_000_000)
            changed.write(b"other")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    result = nights.night(moved=0)
    assert result.mirror["bytes_transferred"] < 100_000
    [newest, *_] = nights.scene.command("list", "--json").json
    assert newest["new_bytes"] == 22_000_000


def test_a_copy_of_a_name_that_holds_something_else_by_now(nights: Nights) -> None:
    file = nights.put("log", 8 * BIG)
    nights.night()
    for number in range(2):
        subprocess.run(["cp", "--archive", file, nights.source / f"log.{number}"], check=True)
    nights.put("log", 8 * BIG)
    result = nights.night(moved=1)
    assert result.mirror["copied_names"] == 1
    assert result.mirror["bytes_transferred"] == 8 * BIG


def test_a_copy_with_another_content_is_fetched(nights: Nights) -> None:
    nights.put("one", 8 * BIG, when=1_500_000_000)
    nights.night()
    nights.put("two", 8 * BIG, when=1_500_000_000)
    result = nights.night(moved=0)
    assert (result.mirror["copied_names"], result.mirror["bytes_transferred"]) == (0, 8 * BIG)


def test_a_few_copies_are_fetched(nights: Nights) -> None:
    """Finding them costs the reading of all names."""
    file = nights.put("one", 2 * BIG)
    nights.night()
    subprocess.run(["cp", "--archive", file, nights.source / "two"], check=True)
    assert nights.night(moved=0).mirror["copied_names"] == 0


@pytest.mark.parametrize("size", [500, 2 * BIG])
def test_groups_stay_what_they_are(nights: Nights, size: int) -> None:
    """One name of a group moves; all do; a single file becomes a group, a group single files."""
    file = nights.put("a", size)
    (nights.source / "b").hardlink_to(file)
    nights.put("alone", size)
    nights.night()
    (nights.source / "b").rename(nights.source / "c")
    nights.night()
    for name in "ac":
        (nights.source / name).rename(nights.source / f"{name}{name}")
    (nights.source / "alone").rename(nights.source / "together")
    (nights.source / "with").hardlink_to(nights.source / "together")
    nights.night()
    subprocess.run(["cp", "--archive", nights.source / "aa", nights.source / "own"], check=True)
    (nights.source / "aa").unlink()
    (nights.source / "cc").unlink()
    (nights.source / "with").unlink()
    (nights.source / "together").rename(nights.source / "alone")
    nights.night()


def test_a_group_moves_as_a_whole(nights: Nights) -> None:
    file = nights.put("old/a", 2 * BIG)
    for name in "bcd":
        (nights.source / "old" / name).hardlink_to(file)
    nights.put("old/alone", BIG)
    nights.night()
    (nights.source / "old").rename(nights.source / "new")
    result = nights.night(moved=5)
    assert result.mirror["moved_bytes"] == 3 * BIG
    assert {nights.inode(f"new/{name}") for name in "abcd"} == {nights.inode("old/a", 2)}
    (nights.source / "new").rename(nights.source / "newer")
    (nights.source / "newer/c").unlink()
    nights.night(moved=4)
    (nights.source / "newer/a").rename(nights.source / "newer/z")
    nights.night()
    assert nights.inode("newer/z") == nights.inode("newer/b") == nights.inode("newer/a", 2)
    for name in "bdz":
        (nights.source / f"newer/{name}").unlink()
    subprocess.run(["cp", "--archive", nights.scene.slots()[1] / "newer/b", nights.source / "newer/x"], check=True)
    subprocess.run(["cp", "--archive", nights.scene.slots()[1] / "newer/b", nights.source / "newer/y"], check=True)
    nights.night()
    assert nights.inode("newer/x") != nights.inode("newer/y")


def test_a_damaged_file_is_fetched_again(nights: Nights) -> None:
    file = nights.put("old", 2 * BIG)
    nights.night()
    flip(nights.scene.slots()[1] / "old")
    file.rename(nights.source / "new")
    result = nights.scene.night()
    assert result.mirror["moved_names"] == 0
    assert (nights.scene.slots()[1] / "new").read_bytes() == (nights.source / "new").read_bytes()


def test_a_damaged_file_under_two_names_is_healed(nights: Nights) -> None:
    file = nights.put("old", 2 * BIG)
    nights.night()
    content = file.read_bytes()
    file.rename(nights.source / "new")
    nights.night(moved=1)
    flip(nights.scene.slots()[1] / "new")
    found = nights.scene.command("verify", "--full", "--json")
    assert found.exit_code == 14, str(found)
    healed = nights.scene.command("verify", "--full", "--heal")
    assert healed.exit_code == 3, str(healed)
    assert (nights.scene.slots()[1] / "new").read_bytes() == content
    assert (nights.scene.slots()[2] / "old").read_bytes() == content
    nights.history = History(nights.scene)
    nights.night(moved=0)


def test_a_daemon_that_refuses_checksums(nights: Nights, tmp_path: Path) -> None:
    with rsync_daemon_running(tmp_path / "daemon", nights.source, refused="checksum") as port:
        nights.scene.configure(source=f"rsync://127.0.0.1:{port}/data")
        file = nights.put("old", 2 * BIG)
        nights.night()
        file.rename(nights.source / "new")
        result = nights.night(moved=1)
    assert result.mirror["bytes_transferred"] == 2 * BIG
    assert "they are fetched" in result.stderr


@pytest.mark.parametrize("names", [["log"], ["log", "link"]])
@pytest.mark.parametrize("size", [500, 2 * BIG])
def test_a_name_that_cannot_be_read_keeps_its_own_file(sshd: Sshd, size: int, names: list[str]) -> None:
    """The log's old name stays as it was, and its new name holds the same: two files, as on the source."""
    with tempfile.TemporaryDirectory(prefix="open.", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        nights = Nights(Scene(Path(folder)))
        nights.scene.configure(
            source=f"{sshd.login}:{nights.source}", rsync_path=NOBODY, on_unreadable="publish", **sshd.options()
        )
        log = nights.put("log", size)
        for name in names[1:]:
            (nights.source / name).hardlink_to(log)
        nights.night()
        for name in names:
            (nights.source / name).rename(nights.source / f"{name}.1")
        nights.put("log", size).chmod(0o000)
        nights.night(warns=True, moved=len(names) if size > 500 else 0)
        assert nights.inode("log") == nights.inode("log", 2)
        assert len({nights.inode(f"{name}.1") for name in names} - {nights.inode("log")}) == 1
        for name in names:
            old, new = nights.scene.slots()[2] / name, nights.scene.slots()[1] / f"{name}.1"
            assert new.read_bytes() == old.read_bytes()
        log.chmod(0o644)
        nights.night()


@pytest.mark.parametrize("remote", [False, True])
def test_with_fake_super(nights: Nights, sshd: Sshd, remote: bool) -> None:
    """Owners and modes are in an extended attribute, and are compared there."""
    nights.scene.configure(fake_super=True)
    if remote:
        nights.scene.configure(source=f"{sshd.login}:{nights.source}/", **sshd.options())
    for name, owner in (("one", 1234), ("two", 4321)):
        os.chown(nights.put(f"old/{name}"), owner, owner)
    nights.scene.night()
    (nights.source / "old").rename(nights.source / "new")
    assert nights.scene.night().mirror["moved_names"] == 2
    os.chown(nights.source / "new/two", 1, 1)
    (nights.source / "new").rename(nights.source / "newer")
    nights.put("more", 2 * BIG).rename(nights.source / "still more")
    nights.scene.night()
    (nights.source / "still more").rename(nights.source / "no more")
    assert nights.scene.night().mirror["moved_names"] == 1
    assert nights.scene.command("verify", "--full").exit_code == 0


def test_an_ordinary_user(sshd: Sshd) -> None:
    """Without root owners are not kept, and not compared; the manifest holds those of the new name."""
    with tempfile.TemporaryDirectory(prefix="ordinary.", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        scene = Scene(Path(folder), user=65534, environment={"HOME": folder})
        file = scene.source / "old"
        put(file, b"x" * 2 * BIG)
        scene.night()
        file = file.rename(scene.source / "new")
        assert scene.night().mirror["moved_names"] == 1
        os.chown(file, 1234, 1234)
        file.rename(scene.source / "newer")
        assert scene.night().mirror["moved_names"] == 0
        assert scene.command("verify", "--full").exit_code == 0
        scene.release()
