"""What restore leaves alone, what it says before it writes, and what it writes last."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.history.login_files import is_one, patterns
from tests.support.files import OLD, put
from tests.support.runner import Scene
from tests.support.sshd import Sshd, sshd_running

TAKES_NO_LOGIN_FILES = """#!/bin/sh
# the connection breaks when all but the files that let us in are written
for word in "$@"; do case "$word" in --dry-run|--exclude=.ssh/*) exec {real} "$@" ;; esac; done
echo "rsync: connection unexpectedly closed" >&2
exit 12
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd_running(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def scene(tmp_path: Path, server: Sshd) -> Scene:
    """A server whose login files lie in the mirrored tree; those of the snapshot do not know the key of today."""
    scene = Scene(tmp_path)
    keys = scene.source / "root" / ".ssh" / "authorized_keys"
    put(keys, b"ssh-ed25519 AAAA the key of last year\n")
    put(scene.source / "etc" / "passwd", b"old")
    put(scene.source / "srv" / "data", b"old")
    put(scene.source / "zzz", b"old")
    scene.night()
    put(keys, server.authorized_keys.read_bytes(), OLD + 100)
    for name in ("etc/passwd", "srv/data", "zzz"):
        put(scene.source / name, b"newer", OLD + 100)
    settings = server.folder / "sshd_config"
    settings.write_text(re.sub('AuthorizedKeysFile ".*"', f'AuthorizedKeysFile "{keys}"', settings.read_text()))
    scene.configure(source=f"{server.login}:{scene.source}", **server.options())
    return scene


def test_what_lets_us_in_is_written_last(scene: Scene, server: Sshd) -> None:
    """A restore that breaks off can be repeated: the key still works."""
    keys = scene.source / "root" / ".ssh" / "authorized_keys"
    now = keys.read_bytes()
    scene.fake_program("rsync", TAKES_NO_LOGIN_FILES.format(real="/usr/bin/rsync"))
    broken = scene.command("restore", "newest", "/", "--push", "--yes")
    assert broken.exit_code == 12, str(broken)
    assert (scene.source / "zzz").read_bytes() == (scene.source / "srv/data").read_bytes() == b"old"
    assert keys.read_bytes() == now and (scene.source / "etc/passwd").read_bytes() == b"newer"
    assert "etc/passwd, root/.ssh/authorized_keys: these decide who may log in" in broken.stderr
    (scene.programs / "rsync").unlink()
    done = scene.command("restore", "newest", "/", "--push", "--yes")
    assert done.exit_code == 0, str(done)
    for path in scene.slots()[1].rglob("*"):
        there = scene.source / path.relative_to(scene.slots()[1])
        assert path.lstat().st_mtime_ns == there.lstat().st_mtime_ns, path
        assert path.is_dir() or path.read_bytes() == there.read_bytes()


def test_a_login_file_alone(scene: Scene) -> None:
    done = scene.command("restore", "newest", "/root/.ssh/authorized_keys", "--push", "--yes")
    assert done.exit_code == 0, str(done)
    assert (scene.source / "root/.ssh/authorized_keys").read_bytes().startswith(b"ssh-ed25519 AAAA the key of")
    assert (scene.source / "etc/passwd").read_bytes() == b"newer"


@pytest.mark.parametrize("way", ["push", "to"])
def test_a_symlink_on_the_way_is_told_before_anything_is_written(scene: Scene, way: str) -> None:
    target = scene.source if way == "push" else scene.folder / "to"
    target.mkdir(exist_ok=True)
    elsewhere = scene.folder / "elsewhere"
    put(elsewhere / "data", b"theirs")
    if way == "push":
        (scene.source / "srv/data").unlink()
        (scene.source / "srv").rmdir()
    (target / "srv").symlink_to(elsewhere)
    words = ["--push"] if way == "push" else ["--to", target]
    result = scene.command("restore", "newest", "/srv/data", *words, "--yes")
    assert result.exit_code == 2, str(result)
    assert "'srv' is a folder in" in result.stderr and "a symlink in" in result.stderr
    assert (elsewhere / "data").read_bytes() == b"theirs" and (target / "srv").is_symlink()


def test_a_folder_in_the_place_of_a_symlink_is_told(scene: Scene) -> None:
    target, elsewhere = scene.folder / "to", scene.folder / "elsewhere"
    put(elsewhere / "data", b"theirs")
    target.mkdir()
    (target / "srv").symlink_to(elsewhere)
    shown = scene.command("restore", "newest", "/srv", "--to", target, "--dry-run")
    assert shown.exit_code == 0 and "srv: a folder takes the place of what is no folder here" in shown.stderr, str(
        shown
    )
    assert scene.command("restore", "newest", "/srv", "--to", target, "--yes").exit_code == 0
    assert (elsewhere / "data").read_bytes() == b"theirs" and (target / "srv/data").read_bytes() == b"old"
    again = scene.command("restore", "newest", "/srv", "--to", target, "--dry-run")
    assert "takes the place" not in again.stderr


def test_a_folder_that_is_there_keeps_its_own_attributes(scene: Scene) -> None:
    to = scene.folder / "mine"
    to.mkdir(mode=0o711)
    to.chmod(0o711)
    for words, mode in (([], 0o711), (["--root-attributes"], 0o755)):
        result = scene.command("restore", "newest", "/", "--to", to, *words, "--yes")
        assert result.exit_code == 0, str(result)
        assert (to / "srv/data").read_bytes() == b"old"
        assert to.stat().st_mode & 0o7777 == mode
    fresh = scene.folder / "fresh"
    assert scene.command("restore", "newest", "/", "--to", fresh).exit_code == 0
    assert fresh.stat().st_mtime_ns == scene.slots()[1].stat().st_mtime_ns


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"root/.ssh/authorized_keys", True), (b".ssh/authorized_keys2", True), (b"etc/ssh", True),
        (b"etc/ssh/sshd_config.d/x", True), (b"srv/chroot/etc/passwd", True), (b"etc/passwd", True),
        (b"etc/passwd/x", False), (b"etc/passwd-", False), (b"etc/sshx", False), (b"home/me/.ssh/config", False),
        (b"netc/passwd", False), (b"a\nb/.ssh/authorized_keys", True),
    ],
)  # fmt: skip
def test_which_files_let_people_in(path: bytes, expected: bool) -> None:
    assert is_one(path) is expected


@given(st.binary(max_size=20).filter(lambda name: b"\0" not in name))
def test_what_lies_above_does_not_matter(folder: bytes) -> None:
    assert is_one(folder + b"/etc/shadow")
    assert not is_one(folder + b"/etc/shadow.txt")


def test_the_source_itself_is_no_remote_server(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    put(scene.source / "etc/passwd", b"old")
    scene.night()
    os.unlink(scene.source / "etc/passwd")
    result = scene.command("restore", "newest", "/", "--push", "--yes")
    assert result.exit_code == 0 and "log in" not in result.stderr, str(result)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("/", {b"etc/passwd", b"etc/ssh/sshd_config", b"root/.ssh/authorized_keys"}),
        ("/etc", {b"passwd", b"ssh/sshd_config"}),
        ("/srv/etc", {b"passwd", b"ssh/sshd_config"}),
        ("/etc/ssh", {b"sshd_config"}),
        ("/root/.ssh", {b"authorized_keys"}),
        ("/root", {b".ssh/authorized_keys"}),
    ],
)
def test_a_source_below_the_root_has_them_as_well(tmp_path: Path, place: str, expected: set[bytes]) -> None:
    """`/etc` as the source has no `etc/passwd`, but `passwd`. rsync leaves out the same names."""
    tree = tmp_path / "tree"
    base = place.replace("/srv", "").lstrip("/")
    for name in ("etc/passwd", "etc/hosts", "etc/ssh/sshd_config", "root/.ssh/authorized_keys", "root/notes", "ssh/x"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    root = tree / base
    names = {os.fsencode(one.relative_to(root)) for one in root.rglob("*") if one.is_file()}
    assert {name for name in names if is_one(name, place)} == expected
    left_out = [f"--exclude={one}" for one in patterns(place)]
    argv = ["rsync", "--recursive", "--dry-run", "--out-format=%n", *left_out, f"{root}/", f"{tmp_path}/none"]
    sent = set(subprocess.run(argv, check=True, capture_output=True).stdout.splitlines())
    assert sent & names == names - expected


def test_pushed_back_below_etc_they_come_last(tmp_path: Path, server: Sshd) -> None:
    scene = Scene(tmp_path / "scene")
    scene.source = scene.folder / "etc"
    put(scene.source / "passwd", b"old")
    put(scene.source / "hosts", b"old")
    scene.configure()
    scene.night()
    put(scene.source / "passwd", b"newer", OLD + 100)
    put(scene.source / "hosts", b"newer", OLD + 100)
    scene.configure(source=f"{server.login}:{scene.source}", **server.options())
    last = TAKES_NO_LOGIN_FILES.replace("--exclude=.ssh/*", "--exclude=/passwd")
    scene.fake_program("rsync", last.format(real="/usr/bin/rsync"))
    done = scene.command("restore", "newest", "/", "--push", "--yes")
    assert (done.exit_code, "passwd: these decide who may log in" in done.stderr) == (12, True), str(done)
    assert ((scene.source / "hosts").read_bytes(), (scene.source / "passwd").read_bytes()) == (b"old", b"newer")
