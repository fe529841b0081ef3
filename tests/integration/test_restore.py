"""restore brings back what the snapshot holds, shows it first, and never writes where it must not."""

from __future__ import annotations

import os
import pty
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.files import OLD, put
from tests.support.fingerprint import compare, fingerprint
from tests.support.runner import Scene
from tests.support.sshd import RRSYNC, sshd_running
from tests.support.trees import Tree


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two snapshots: in the older one (2) etc/fstab was "old"; names of all kinds."""
    scene = Scene(tmp_path)
    source = scene.source
    put(source / "etc" / "fstab", b"old")
    put(source / "etc" / "ssh" / "key", b"secret")
    os.chmod(source / "etc" / "ssh", 0o700)
    os.utime(source / "etc" / "ssh", (OLD, OLD))
    put(source / "#hash", b"#")
    put(source / "-dash", b"-")
    put(source / os.fsdecode(b"new\nline \xff"), b"named")
    put(source / "twin", b"linked")
    os.link(source / "twin", source / "etc" / "twin")
    (source / "out").symlink_to("/etc")
    scene.night()
    put(source / "etc" / "fstab", b"newer", OLD + 100)
    scene.night()
    return scene


def test_a_file_comes_back_with_the_folders_that_lead_to_it(scene: Scene) -> None:
    to = scene.folder / "restored" / "here"
    result = scene.command("restore", "2", "/etc/ssh/key", "--to", to)
    assert result.exit_code == 0, str(result)
    assert (to / "etc/ssh/key").read_bytes() == b"secret"
    assert (to / "etc/ssh").stat().st_mode & 0o7777 == 0o700
    assert (to / "etc/ssh").stat().st_mtime == OLD
    assert sorted(path.name for path in to.rglob("*")) == ["etc", "key", "ssh"]
    assert "+ etc/ssh/key" in result.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")
def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    tree = Tree(scene.source)
    kinds = [
        "empty", "small", "sparse", "large", "directory", "deep", "symlink", "fifo", "socket",
        "char device", "block device", "hard link", "hard link",
    ]  # fmt: skip
    tree.grow([(kind, seed) for seed, kind in enumerate(kinds * 3)])
    tree.settle()  # rsync leaves a new directory with the present second alone
    scene.night()
    result = scene.command("restore", "newest", "/", "--to", tmp_path / "to")
    assert result.exit_code == 0, str(result)
    assert not compare(fingerprint(scene.slots()[1]), fingerprint(tmp_path / "to"))
    again = scene.command("restore", "newest", ".", "--to", tmp_path / "to")
    assert "nothing to do" in again.stdout, str(again)


def test_a_dry_run_writes_nothing(scene: Scene) -> None:
    to = scene.folder / "to"
    result = scene.command("restore", "newest", ".", "--to", to, "--dry-run", "--json")
    assert result.exit_code == 0, str(result)
    assert not to.exists()
    changes = {change["path"]: change["change"] for change in result.json["changes"]}
    assert set(changes.values()) == {"new"}
    assert {"etc/fstab", "#hash", "-dash", "new\\nline \\xff", "twin", "etc/twin"} <= changes.keys()
    assert (result.json["restored"], result.json["overwritten"]) == (0, 0)


def test_strange_names(scene: Scene) -> None:
    names = [b"#hash", b"new\nline \xff", b"./-dash"]
    result = scene.command("restore", "newest", "--to", scene.folder / "to", "--", *map(os.fsdecode, names))
    assert result.exit_code == 0, str(result)
    assert sorted(os.listdir(os.fsencode(scene.folder / "to"))) == sorted([b"#hash", b"new\nline \xff", b"-dash"])


def test_overwriting_is_shown_and_asked_for(scene: Scene) -> None:
    to = scene.folder / "to"
    put(to / "etc" / "fstab", b"mine")
    (to / "twin").mkdir()
    refused = scene.command("restore", "2", "etc/fstab", "twin", "--to", to)
    assert refused.exit_code == 2
    assert "M etc/fstab" in refused.stdout and "M twin" in refused.stdout
    assert "--yes" in refused.stderr
    assert (to / "etc/fstab").read_bytes() == b"mine"
    done = scene.command("restore", "2", "etc/fstab", "twin", "--to", to, "--yes")
    assert done.exit_code == 0, str(done)
    assert (to / "etc/fstab").read_bytes() == b"old"
    assert (to / "twin").read_bytes() == b"linked"


@pytest.mark.parametrize(("answer", "written"), [(b"y\n", True), (b"n\n", False), (b"\n", False)])
def test_on_a_terminal_it_asks(scene: Scene, answer: bytes, written: bool) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        scene.argv("restore", "newest", "etc/fstab", "--to", scene.folder / "to"), env=scene.environ(),
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, answer)
    said, _ = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 0, said
    assert b"Write this to" in said
    assert (scene.folder / "to" / "etc" / "fstab").exists() is written


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("etc/fsatb", "etc/fstab"),
        ("fstab", "etc/fstab"),
        ("out/passwd", "symlink to '/etc'"),
        ("etc/fstab/x", "relative to"),
        ("zzzzz/yyyyy", "relative to"),
    ],
)
def test_what_is_not_there(scene: Scene, path: str, hint: str) -> None:
    result = scene.command("restore", "newest", path, "--to", scene.folder / "to")
    assert result.exit_code == 2
    assert "holds no" in result.stderr and hint in result.stderr, result.stderr
    assert not (scene.folder / "to").exists()


def test_wrong_words(scene: Scene) -> None:
    for words in (
        ["newest", "etc"],
        ["newest", "etc", "--to", scene.folder / "to", "--push"],
        ["newest", "../store", "--to", scene.folder / "to"],
        ["1999", "etc", "--to", scene.folder / "to"],
        ["newest", "etc", "--to", scene.config],
    ):
        result = scene.command("restore", *words)
        assert result.exit_code == 2, str(result)
        assert result.stderr.startswith("snapmirror: error: "), str(result)


# --- never into the store, never out of the snapshot


def test_never_into_the_store(scene: Scene) -> None:
    before = fingerprint(scene.home)
    (scene.folder / "door").symlink_to(scene.home)
    inside = scene.folder / "to"
    inside.mkdir()
    (inside / "etc").symlink_to(scene.slots()[1] / "etc")
    for to, path in (
        (scene.store / "new", "etc"),
        (scene.store, "etc"),
        (scene.slots()[1], "etc"),
        (scene.folder / "door" / "backup.1", "etc"),
        (scene.folder / "to" / ".." / "store", "etc"),
        (inside, "etc/fstab"),
    ):
        result = scene.command("restore", "2", path, "--to", to, "--yes")
        assert result.exit_code == 2, f"{to}: {result}"
        assert "lies inside the store" in result.stderr
    assert scene.command("restore", "2", ".", "--to", inside, "--yes").exit_code == 0
    assert not (inside / "etc").is_symlink(), "a symlink gives way, nothing is written through it"
    assert not compare(before, fingerprint(scene.home))


def test_never_into_a_store_below_the_target(scene: Scene) -> None:
    put(scene.source / "store" / "web" / "evil", b"")
    scene.night()
    before = fingerprint(scene.home)
    result = scene.command("restore", "newest", "store", "etc/fstab", "--to", scene.folder, "--yes")
    assert result.exit_code == 0, str(result)
    assert (scene.folder / "etc/fstab").read_bytes() == b"newer"
    assert not compare(before, fingerprint(scene.home))


def test_never_through_a_hard_link_into_the_store(scene: Scene) -> None:
    """Somebody restored with cp --link: setting attributes there would set them in history."""
    to = scene.folder / "to"
    subprocess.run(["cp", "--archive", "--link", scene.slots()[1], to], check=True)
    os.unlink(scene.source / "#hash")
    put(scene.source / "#hash", b"#")
    os.chmod(scene.source / "#hash", 0o600)
    scene.night()
    before = fingerprint(scene.home)
    result = scene.command("restore", "newest", "#hash", "--to", to, "--yes")
    assert result.exit_code == 2, str(result)
    assert "hard link" in result.stderr
    assert not compare(before, fingerprint(scene.home))


def test_never_out_of_the_snapshot(scene: Scene) -> None:
    """A folder that was swapped for a symlink leads nowhere."""
    tree = scene.slots()[1]
    os.rename(tree / "etc", scene.folder / "aside")
    (tree / "etc").symlink_to("/etc")
    result = scene.command("restore", "newest", "etc/fstab", "--to", scene.folder / "to")
    assert result.exit_code == 14
    assert "is not a folder any more" in result.stderr


# --- back to the server


def test_push_over_ssh(scene: Scene, tmp_path: Path) -> None:
    with sshd_running(tmp_path / "sshd") as server:
        source = f"{server.login}:{scene.source}"
        scene.configure(source=source, **server.options())
        subprocess.run(["rm", "-r", scene.source / "etc"], check=True)
        shown = scene.command("restore", "newest", "etc/ssh", "--push", "--dry-run")
        assert shown.exit_code == 0, str(shown)
        assert "+ etc/ssh/key" in shown.stdout
        assert not (scene.source / "etc").exists()
        assert scene.command("restore", "newest", "etc/ssh", "--push").exit_code == 2
        done = scene.command("restore", "newest", "etc/ssh", "--push", "--yes")
        assert done.exit_code == 0, str(done)
        assert (scene.source / "etc/ssh/key").read_bytes() == b"secret"
        assert (scene.source / "etc/ssh").stat().st_mtime == OLD
        assert not (scene.source / "etc/fstab").exists()
        server.new_host_key()
        refused = scene.command("restore", "newest", "etc/fstab", "--push", "--yes")
        assert refused.exit_code == 12, str(refused)


def test_push_with_the_key_of_the_nights_is_refused_with_a_way_out(scene: Scene, tmp_path: Path) -> None:
    with sshd_running(tmp_path / "sshd") as server:
        key = server.restrict(f"{RRSYNC} -ro {scene.source}")
        scene.configure(source=f"{server.login}:/", **{**server.options(), "identity": str(key)})
        (scene.source / "etc/fstab").unlink()
        refused = scene.command("restore", "newest", "etc/fstab", "--push", "--yes")
        assert refused.exit_code == 12, str(refused)
        assert "allows only reading" in refused.stderr
        assert "hint: allow writing for the restore" in refused.stderr


def test_push_with_a_key_that_is_restricted_to_a_folder(scene: Scene, tmp_path: Path) -> None:
    """rrsync then takes no option that makes rsync follow symlinks: each restore below a folder was refused."""
    with sshd_running(tmp_path / "sshd") as server:
        key = server.restrict(f"{RRSYNC} {scene.source}")
        scene.configure(source=f"{server.login}:/", **{**server.options(), "identity": str(key)})
        (scene.source / "etc").rename(scene.folder / "etc")
        done = scene.command("restore", "newest", "etc/fstab", "--push", "--yes")
        assert done.exit_code == 0, str(done)
        assert (scene.source / "etc/fstab").read_bytes() == b"newer"
        assert (scene.source / "etc").stat().st_mode == (scene.folder / "etc").stat().st_mode
        (scene.source / "etc").rename(scene.folder / "made")
        (scene.source / "etc").symlink_to(scene.folder / "etc")
        refused = scene.command("restore", "newest", "etc/fstab", "--push", "--yes")
        assert refused.exit_code == 2, str(refused)
        assert "'etc' is a folder in" in refused.stderr and "but a symlink, or a file, in" in refused.stderr
        assert (scene.source / "etc").is_symlink()


def test_push_needs_to_be_meant(scene: Scene) -> None:
    (scene.source / "etc/fstab").unlink()
    refused = scene.command("restore", "newest", "etc/fstab", "--push")
    assert refused.exit_code == 2
    assert not (scene.source / "etc/fstab").exists()
    done = scene.command("restore", "newest", "etc/fstab", "--push", "--yes")
    assert done.exit_code == 0, str(done)
    assert (scene.source / "etc/fstab").read_bytes() == b"newer"


def test_push_leaves_everything_else_alone(scene: Scene) -> None:
    put(scene.source / "etc" / "later", b"later")
    os.chmod(scene.source / "etc", 0o711)
    put(scene.source / "etc" / "fstab", b"broken")
    os.utime(scene.source / "etc", (5, 5))
    result = scene.command("restore", "2", "etc/fstab", "--push", "--yes")
    assert result.exit_code == 0, str(result)
    assert (scene.source / "etc/fstab").read_bytes() == b"old"
    assert (scene.source / "etc/later").read_bytes() == b"later"
    assert (scene.source / "etc").stat().st_mode & 0o7777 == 0o711


def test_a_content_that_changed_behind_its_size_and_time(scene: Scene) -> None:
    put(scene.source / "etc" / "fstab", b"bitte", OLD + 100)
    quick = scene.command("restore", "newest", "etc/fstab", "--push", "--yes")
    assert "nothing to do" in quick.stdout
    done = scene.command("restore", "newest", "etc/fstab", "--push", "--yes", "--checksum")
    assert done.exit_code == 0, str(done)
    assert (scene.source / "etc/fstab").read_bytes() == b"newer"


def test_failures_are_said(scene: Scene) -> None:
    scene.fake_program("rsync", '#!/bin/sh\necho "rsync: connection unexpectedly closed" >&2\nexit 12\n')
    result = scene.command("restore", "newest", "etc", "--to", scene.folder / "to")
    assert result.exit_code == 12
    assert "the data stream broke off" in result.stderr
    scene.fake_program("rsync", '#!/bin/sh\necho "rsync: write failed: No space left on device (28)" >&2\nexit 11\n')
    result = scene.command("restore", "newest", "etc", "--to", scene.folder / "to")
    assert result.exit_code == 11
    assert "no room is left" in result.stderr


@pytest.mark.parametrize("name", ["etc/twin", "twin"])
def test_a_folder_in_the_place_of_a_file_with_two_names_stays(scene: Scene, name: str) -> None:
    """Left alone, rsync 3.5.0 would wait for ever."""
    to = scene.folder / "to"
    put(to / name / "below", b"theirs")
    result = scene.command("restore", "newest", ".", "--to", to, "--yes")
    assert result.exit_code == 12, str(result)
    assert f"could not make way for new regular file: {name}" in result.stderr
    assert "nothing was written" in result.stderr
    assert [path.name for path in to.rglob("*") if path.is_file()] == ["below"]
    (to / name / "below").unlink()  # an empty one gives way
    assert scene.command("restore", "newest", ".", "--to", to, "--yes").exit_code == 0
    assert (to / "twin").samefile(to / "etc/twin")


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place, and restores as root")
def test_what_fake_super_has_kept_becomes_real() -> None:
    with tempfile.TemporaryDirectory(prefix="restore.") as folder:
        os.chmod(folder, 0o755)
        scene = Scene(Path(folder), user=4321)
        scene.configure(fake_super=True)
        put(scene.source / "file", b"content")
        os.chown(scene.source / "file", 7, 8)
        os.chmod(scene.source / "file", 0o4755)
        (scene.source / "link").symlink_to("file")
        os.mknod(scene.source / "null", 0o20666, os.makedev(1, 3))
        os.utime(scene.source / "null", (OLD, OLD))
        scene.night()
        source = fingerprint(scene.source)
        scene.user = None
        result = scene.command("restore", "newest", "file", "link", "null", "--to", Path(folder) / "to")
        assert result.exit_code == 0, str(result)
        restored = fingerprint(Path(folder) / "to")
        assert restored[b"file"] == source[b"file"]
        assert restored[b"null"] == source[b"null"]
        assert restored[b"link"].target == b"file"
        (scene.source / "file").unlink()
        assert scene.command("restore", "newest", "file", "--push", "--yes").exit_code == 0
        assert fingerprint(scene.source)[b"file"] == source[b"file"]
        scene.user = 4321
        os.chown(folder, 4321, 4321)
        result = scene.command("restore", "newest", ".", "--to", Path(folder) / "own")
        assert result.exit_code == 3, str(result)
        assert "1 device left out" in result.stderr
        result = scene.command("restore", "newest", ".", "--to", Path(folder) / "other", "--json")
        assert (result.exit_code, result.json["warnings"]) == (3, ["1 device left out: only root can make them"])
        assert (Path(folder) / "own" / "file").stat().st_uid == 4321
