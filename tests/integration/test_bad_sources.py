"""Sources that fail, lie or change while they are read: a clear sentence, its exit code, and nothing lost.

The servers are real; the misfortunes come from small programs on PATH that call the real rsync.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import fake_rsync
from tests.support.files import put
from tests.support.fingerprint import compare, fingerprint
from tests.support.runner import History, Result, Scene
from tests.support.sshd import Sshd, free_port, rsync_daemon_running, sshd_running
from tests.support.trees import Tree

NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups rsync"
ordinary_remote = pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to be somebody else on the server")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    for name in ("a", "b", "sub/c", "sub/d", "other/e"):
        write(scene, name, f"this is {name}")
    yield scene
    scene.release()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd_running(tmp_path / "sshd") as server:
        yield server


def write(scene: Scene, name: str, text: str) -> None:
    path = scene.source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    Tree(scene.source).settle()


def first_night(scene: Scene) -> History:
    scene.night()
    history = History(scene)
    history.check()
    return history


def assert_failed(scene: Scene, history: History, result: Result, *, code: int, says: str = "") -> None:
    """One sentence and a hint on stderr, the exit code, nothing published, nothing lost, nothing left."""
    assert result.exit_code == code, str(result)
    assert says.lower() in (result.stdout + result.stderr).lower(), str(result)
    assert len(result.stderr.splitlines()) < 25, f"too much to read:\n{result}"
    before = history.ids
    assert history.check() == before
    assert scene.leftovers() == []


def assert_recovers(scene: Scene, history: History) -> None:
    scene.night()
    history.check()
    history.check_newest(Tree(scene.source).fingerprint())


# -- what cannot be reached --------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["local", "ssh", "daemon"])
def test_mistyped_path(scene: Scene, server: Sshd, over: str) -> None:
    history = first_night(scene)
    with rsync_daemon_running(scene.folder / "rsyncd", scene.source) as port:
        match over:
            case "local":
                scene.configure(source=f"{scene.source}-mistyped")
            case "ssh":
                scene.configure(source=f"{server.login}:{scene.source}-mistyped", **server.options())
            case _:
                scene.configure(source=f"rsync://127.0.0.1:{port}/data/mistyped")
        result = scene.night(expect=None)
    assert_failed(scene, history, result, code=12, says="mistyped")


def test_source_is_a_file(scene: Scene) -> None:
    history = first_night(scene)
    scene.configure(source=str(scene.source / "a"))
    assert_failed(scene, history, scene.night(expect=None), code=12)


def test_unreachable_host(scene: Scene, server: Sshd) -> None:
    history = first_night(scene)
    scene.configure(source=f"{server.login}:{scene.source}", **{**server.options(), "port": free_port()})
    assert_failed(scene, history, scene.night(expect=None), code=12, says="127.0.0.1")


def test_unknown_name(scene: Scene) -> None:
    history = first_night(scene)
    scene.configure(source="no-such-host.invalid:/etc")
    assert_failed(scene, history, scene.night(expect=None), code=12, says="no-such-host.invalid")


def test_unknown_host_key(scene: Scene, server: Sshd) -> None:
    history = first_night(scene)
    server.known_hosts.write_text("")
    scene.configure(source=f"{server.login}:{scene.source}", **server.options())
    assert_failed(scene, history, scene.night(expect=None), code=12, says="host key")
    assert server.known_hosts.read_text() == "", "an unknown key was taken over without asking"


def test_changed_host_key(scene: Scene, server: Sshd) -> None:
    scene.configure(source=f"{server.login}:{scene.source}", **server.options())
    history = first_night(scene)
    server.new_host_key()
    assert_failed(scene, history, scene.night(expect=None), code=12, says="host key")


def test_wrong_ssh_key(scene: Scene, server: Sshd) -> None:
    history = first_night(scene)
    server.authorized_keys.write_text("")
    scene.configure(source=f"{server.login}:{scene.source}", **server.options())
    assert_failed(scene, history, scene.night(expect=None), code=12, says="permission denied")


def test_no_rsync_on_the_server(scene: Scene, server: Sshd) -> None:
    history = first_night(scene)
    scene.configure(source=f"{server.login}:{scene.source}", rsync_path="/no/such/rsync", **server.options())
    assert_failed(scene, history, scene.night(expect=None), code=12, says="rsync")


def test_login_script_that_prints(scene: Scene, server: Sshd) -> None:
    history = first_night(scene)
    talker = scene.fake_program("talker", '#!/bin/sh\necho "Welcome to this server!"\nexec rsync "$@"\n')
    scene.configure(source=f"{server.login}:{scene.source}", rsync_path=str(talker), **server.options())
    assert_failed(scene, history, scene.night(expect=None), code=12)


def test_daemon_refuses(scene: Scene) -> None:
    history = first_night(scene)
    secret = scene.folder / "password"
    secret.write_text("right\n")
    secret.chmod(0o600)
    with rsync_daemon_running(scene.folder / "rsyncd", scene.source, password="right") as port:
        here = f"backup@127.0.0.1:{port}"
        scene.configure(source=f"rsync://{here}/data", password_file=str(secret))
        assert_recovers(scene, history)
        secret.write_text("a wrong secret\n")
        result = scene.night(expect=None)
        assert_failed(scene, history, result, code=12, says="auth")
        assert "a wrong secret" not in str(result)
        secret.write_text("right\n")
        scene.configure(source=f"rsync://{here}/nomodule")
        assert_failed(scene, history, scene.night(expect=None), code=12, says="nomodule")
    scene.configure(source=f"rsync://{here}/data")
    assert_failed(scene, history, scene.night(expect=None), code=12)


# -- what rsync may end with -------------------------------------------------------------------------------------

OUTCOMES = {0: 0, 23: 3, 24: 3, 25: 12, 10: 12, 11: 12, 12: 12, 20: 12, 30: 12, 35: 12, 255: 12, 77: 12}


@pytest.mark.parametrize("code", OUTCOMES)
def test_exit_code_of_the_transfer(scene: Scene, code: int) -> None:
    history = first_night(scene)
    write(scene, "a", "changed")
    (scene.source / "b").unlink()
    Tree(scene.source).settle()
    fake_rsync.ends_with(scene, code)
    result = scene.night(expect=None)
    if OUTCOMES[code] == 12:
        assert_failed(scene, history, result, code=12)
    else:
        assert result.exit_code == OUTCOMES[code], str(result)
        assert bool(result.mirror["warnings"]) == (code != 0)
        assert len(history.check()) == 2
    fake_rsync.remove(scene)
    assert_recovers(scene, history)


def test_a_stumble_of_rsync_is_tried_again_but_not_for_ever(scene: Scene) -> None:
    history = first_night(scene)
    write(scene, "a", "changed")
    Tree(scene.source).settle()
    fake_rsync.stumbles(scene, 3)
    failed = scene.night(expect=None)
    assert_failed(scene, history, failed, code=12, says="Invalid packet at end of run")
    assert failed.stderr.count("trying again") == 2
    fake_rsync.remove(scene)
    fake_rsync.stumbles(scene, 2)
    result = scene.night()
    assert result.mirror["bytes_transferred"] == 0, "it is here already"
    assert len(history.check()) == 2
    fake_rsync.remove(scene)
    assert_recovers(scene, history)


@pytest.mark.parametrize("code", [10, 11, 12, 20, 25, 30, 35, 255, 77])
def test_exit_code_of_the_listing(scene: Scene, code: int) -> None:
    """A listing that did not end well is not believed: what it lacks would be deleted."""
    history = first_night(scene)
    write(scene, "new", "new")
    fake_rsync.ends_with(scene, code, phase="list")
    assert_failed(scene, history, scene.night(expect=None), code=12)
    fake_rsync.remove(scene)
    assert_recovers(scene, history)


@pytest.mark.parametrize("phase", ["list", "transfer"])
@pytest.mark.parametrize("name", ["KILL", "SEGV", "TERM"])
def test_rsync_dies_of_a_signal(scene: Scene, name: str, phase: str) -> None:
    history = first_night(scene)
    write(scene, "new", "new")
    fake_rsync.dies_of(scene, name, phase=phase)
    assert_failed(scene, history, scene.night(expect=None), code=12, says="signal")
    fake_rsync.remove(scene)
    assert_recovers(scene, history)


def test_unreadable_may_fail_the_night(scene: Scene) -> None:
    scene.configure(on_unreadable="fail")
    history = first_night(scene)
    write(scene, "new", "new")
    fake_rsync.ends_with(scene, 23)
    assert_failed(scene, history, scene.night(expect=None), code=12)
    fake_rsync.remove(scene)
    assert_recovers(scene, history)


# -- what cannot be read -----------------------------------------------------------------------------------------


@pytest.fixture
def open_scene() -> Iterator[Scene]:
    """A scene in a folder that everybody may pass through (pytest's own are closed to other users)."""
    with tempfile.TemporaryDirectory(prefix="open.", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        scene = Scene(Path(folder))
        for name in ("a", "b", "sub/c", "sub/d"):
            write(scene, name, f"this is {name}")
        yield scene
        scene.release()


def remote_nobody(scene: Scene, server: Sshd, **more: Any) -> None:
    """On the server an ordinary user reads the tree."""
    scene.configure(source=f"{server.login}:{scene.source}", rsync_path=NOBODY, **server.options(), **more)


@ordinary_remote
def test_unreadable_stays_and_is_named(open_scene: Scene, server: Sshd) -> None:
    """What the server's user can no longer read is not deleted: the newest snapshot keeps its last version."""
    scene = open_scene
    remote_nobody(scene, server)
    history = first_night(scene)
    assert (scene.slots()[1] / "sub" / "c").read_text() == "this is sub/c"
    write(scene, "a", "changed, and locked")
    write(scene, "new", "new, and locked")
    write(scene, "b", "changed")
    for name in ("a", "new", "sub"):
        (scene.source / name).chmod(0o000)
    for _ in range(3):
        result = scene.night(expect=(3,))
        text = " ".join(map(str, result.mirror["warnings"]))
        assert "sub" in text or "sub" in result.stderr, str(result)
        history.check()
        newest = scene.slots()[1]
        assert (newest / "b").read_text() == "changed"
        assert (newest / "a").read_text() == "this is a"
        assert not (newest / "new").exists()
        assert (newest / "sub" / "c").read_text() == "this is sub/c"
        verified = scene.command("verify", "--full")
        assert verified.exit_code == 0, str(verified)
    for name in ("a", "new", "sub"):
        (scene.source / name).chmod(0o755)
    Tree(scene.source).settle()
    assert_recovers(scene, history)


@ordinary_remote
@pytest.mark.parametrize("what", ["new", "changed", "deep"])
def test_nothing_of_a_folder_but_what_is_unreadable(open_scene: Scene, server: Sshd, what: str) -> None:
    """rsync makes the folders on the way to it all the same: nobody has added them."""
    scene = open_scene
    remote_nobody(scene, server)
    write(scene, "sub/deep/d", "this is d")
    Tree(scene.source).settle()
    history = first_night(scene)
    name = {"new": "sub/new", "changed": "sub/c", "deep": "sub/deep/d"}[what]
    folder = (scene.source / name).parent
    before = folder.stat()
    write(scene, name, "locked")
    (scene.source / name).chmod(0o000)
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        result = scene.night(expect=(3,))
        assert name in str(result.mirror["warnings"]) + result.stderr, str(result)
        history.check()
        assert scene.command("verify", "--full").exit_code == 0
    (scene.source / name).chmod(0o755)
    assert_recovers(scene, history)


def test_nothing_of_a_folder_but_what_vanishes(scene: Scene) -> None:
    write(scene, "sub/deep/d", "this is d")
    Tree(scene.source).settle()
    history = first_night(scene)
    write(scene, "sub/deep/d", "changed, and gone")
    fake_rsync.before_transfer(scene, f"rm {scene.source}/sub/deep/d")
    scene.night(expect=(0, 3))
    fake_rsync.remove(scene)
    history.check()
    assert_recovers(scene, history)


@ordinary_remote
def test_unreadable_fails_by_setting(open_scene: Scene, server: Sshd) -> None:
    scene = open_scene
    remote_nobody(scene, server, on_unreadable="fail")
    history = first_night(scene)
    (scene.source / "sub").chmod(0o000)
    write(scene, "b", "changed")
    assert_failed(scene, history, scene.night(expect=None), code=12, says="sub")
    (scene.source / "sub").chmod(0o755)
    Tree(scene.source).settle()
    assert_recovers(scene, history)


def test_ordinary_user_keeps_what_can_be_kept(tmp_path: Path) -> None:
    """Without root: a run succeeds, and says once that owners and devices cannot be kept."""
    user = 65534 if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="ordinary.", dir="/tmp"))
    folder.chmod(0o755)
    scene = Scene(folder, user=user, environment={"HOME": str(folder)})
    try:
        write(scene, "mine", "mine")
        if user is not None:
            write(scene, "roots", "of root, readable")
            os.chown(scene.source / "mine", user, user)
        (scene.source / "link").symlink_to("mine")
        os.mkfifo(scene.source / "fifo")
        scene.source.chmod(0o755)
        history = History(scene)
        for night in range(5):
            scene.night(expect=(0, 3))
            history.check()
            newest = scene.slots()[1]
            assert (newest / "mine").read_text() == ("mine" if night == 0 else f"night {night - 1}")
            assert (newest / "link").is_symlink()
            assert scene.leftovers() == []
            write(scene, "mine", f"night {night}")
    finally:
        scene.release()
        subprocess.run(["rm", "-rf", str(folder)], check=True)


# -- what changes while it is read -------------------------------------------------------------------------------


def test_vanished_between_listing_and_transfer(scene: Scene) -> None:
    history = first_night(scene)
    write(scene, "a", "changed")
    write(scene, "new", "new")
    write(scene, "folder/inside", "new too")
    fake_rsync.before_transfer(scene, f"rm -rf {scene.source}/new {scene.source}/folder")
    result = scene.night(expect=(3,))
    assert "vanish" in " ".join(map(str, result.mirror["warnings"])).lower(), str(result)
    fake_rsync.remove(scene)
    history.check()
    newest = scene.slots()[1]
    assert (newest / "a").read_text() == "changed"
    assert not (newest / "new").exists() and not (newest / "folder" / "inside").exists()
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, str(verified)
    Tree(scene.source).settle()
    assert_recovers(scene, history)


CHANGED_MEANWHILE = {
    "grows": "echo more >> a",
    "becomes a folder": "rm a && mkdir a && echo inside > a/inside",
    "becomes a symlink": "rm a && ln -s /etc/passwd a",
    "becomes a fifo": "rm a && mkfifo a",
    "becomes a link": "rm a && ln b a",
    "folder becomes a file": "rm -rf fresh && echo now a file > fresh",
    "folder becomes a symlink": "rm -rf fresh && ln -s /etc fresh",
    "mode": "chmod 600 a fresh",
    "unplanned file changes": "echo unplanned > other/e && rm b",
    "link group is joined": "ln -f a b",
}


@pytest.mark.parametrize("words", [[], ["--full"]], ids=["manifest", "full"])
@pytest.mark.parametrize("name", CHANGED_MEANWHILE)
def test_changed_between_listing_and_transfer(scene: Scene, name: str, words: list[str]) -> None:
    """Whatever arrives, the record says what is there: verify agrees, and the next night is the source again."""
    scene.configure(keep_last=2)
    scene.night()
    history = first_night(scene)
    write(scene, "a", "changed")
    write(scene, "fresh/x", "new")
    write(scene, "fresh/y", "new")
    fake_rsync.before_transfer(scene, f"( cd {scene.source} && {CHANGED_MEANWHILE[name]} )")
    scene.night(*words, expect=(0, 3))
    fake_rsync.remove(scene)
    history.check()
    assert Path("/etc/passwd").stat().st_nlink == 1
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, str(verified)
    Tree(scene.source).settle()
    assert_recovers(scene, history)


@pytest.mark.parametrize("kind", ["new", "changed", "linked", "unreadable"])
@pytest.mark.parametrize("target", ["absolute", "relative"])
def test_a_folder_turns_into_a_way_out(scene: Scene, kind: str, target: str) -> None:
    """A hostile server lists a folder and then sends a symlink that leads out of the store: nothing out there moves."""
    victim = scene.folder / "victim"
    victim.mkdir()
    for name in ("x", "y"):
        (victim / name).write_text(f"precious {name}")
    scene.configure(keep_last=2)
    if kind != "new":
        write(scene, "fresh/x", "old")
        write(scene, "fresh/y", "old")
    history = first_night(scene)
    before = fingerprint(victim)
    if kind == "linked":
        (scene.source / "fresh" / "x").unlink()
        (scene.source / "fresh" / "x").hardlink_to(scene.source / "a")
    write(scene, "fresh/y", "changed y")
    write(scene, "fresh/x", "changed x")
    way_out = str(victim) if target == "absolute" else "../../../../victim"
    trouble = 'code=23; "$real" "$@" || code=$?; exit 23' if kind == "unreadable" else ""
    fake_rsync.before_transfer(scene, f"( cd {scene.source} && rm -rf fresh && ln -s {way_out} fresh )\n{trouble}")
    scene.night(expect=None)
    assert not compare(before, fingerprint(victim))
    fake_rsync.remove(scene)
    history.check()
    for night in range(4):
        write(scene, "b", f"night {night}")
        scene.night(expect=(0, 3))
        history.check()
        assert not compare(before, fingerprint(victim))
    history.check_newest(Tree(scene.source).fingerprint())


@pytest.mark.parametrize("levels", ["..", "../..", "../../.."])
def test_a_folder_is_now_a_way_out(scene: Scene, levels: str) -> None:
    """The same without any race, through nights that recycle: the old folder's name is a symlink that leads out."""
    scene.configure(keep_last=2)
    for place in (scene.folder, scene.store, scene.home):
        (place / "victim" / "sub").mkdir(parents=True)
        (place / "victim" / "sub" / "x").write_text(str(place))
        (place / "victim" / "sub").chmod(0o700 + len(str(place)) % 8)
    before = {place: fingerprint(place / "victim") for place in (scene.folder, scene.store, scene.home)}
    write(scene, "d/victim/sub/x", "inside")
    write(scene, "d/victim/sub/y", "inside")
    for night in range(8):
        write(scene, "b", f"night {night}")
        if night == 3:
            subprocess.run(["rm", "-rf", str(scene.source / "d")], check=True)
            (scene.source / "d").symlink_to(levels)
            Tree(scene.source).settle()
        if night == 6:
            (scene.source / "d").unlink()
            write(scene, "d/victim/sub/x", "inside again")
        scene.night()
        for place, mark in before.items():
            assert not compare(mark, fingerprint(place / "victim")), f"night {night}"


BUSY = """
import os, random, sys
root, rng = sys.argv[1], random.Random(1)
while True:
    path = os.path.join(root, f"busy{rng.randrange(8)}", f"f{rng.randrange(40)}")
    try:
        match rng.randrange(6):
            case 0: os.unlink(path)
            case 1: os.rename(path, os.path.join(root, f"busy{rng.randrange(8)}", f"f{rng.randrange(40)}"))
            case 2: os.chmod(path, rng.choice((0o600, 0o644)))
            case 3: os.link(path, path + "l")
            case _:
                with open(path, "ab") as file:
                    file.write(rng.randbytes(rng.randrange(20000)))
    except OSError:
        pass
"""


def test_a_busy_server(scene: Scene) -> None:
    """A program creates, changes, renames, links and deletes files all the time; each night is publishable."""
    for number in range(8):
        (scene.source / f"busy{number}").mkdir()
    scene.configure(keep_last=2)
    history = History(scene)
    writer = subprocess.Popen([sys.executable, "-c", BUSY, str(scene.source)])
    try:
        for _ in range(6):
            writer.send_signal(signal.SIGCONT)
            scene.night(expect=(0, 3))
            writer.send_signal(signal.SIGSTOP)  # it would fill the disk while we look
            history.check()
            verified = scene.command("verify", "--full")
            assert verified.exit_code == 0, str(verified)
    finally:
        writer.kill()
        writer.wait()
    Tree(scene.source).settle()
    assert_recovers(scene, history)


# -- what looks like a disaster ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_full_night_after_a_folder_became_a_file_with_two_names(scene: Scene, name: str) -> None:
    """Left alone, rsync 3.5.0 would wait for ever."""
    history, tree = History(scene), Tree(scene.source)
    (scene.source / name).unlink(missing_ok=True)
    put(scene.source / name / "inside" / "file", b"")
    scene.night()
    history.check()
    shutil.rmtree(scene.source / name)
    put(scene.source / "a", b"both")
    (scene.source / "b").unlink(missing_ok=True)
    os.link(scene.source / "a", scene.source / "b")
    tree.settle()
    result = scene.night("--full")
    assert result.mirror["warnings"] == []
    history.check()
    history.check_newest(tree.fingerprint(), full=True)


def test_empty_source_asks_first(scene: Scene) -> None:
    """An unmounted disk looks like this: the guard stops the run, and --accept-changes lets it through."""
    scene.configure(guard={"min_free": "1M", "min_free_inodes": 10})
    for number in range(150):
        (scene.source / f"f{number}").write_text("x")
    Tree(scene.source).settle()
    history = first_night(scene)
    kept = scene.folder / "kept"
    scene.source.rename(kept)
    scene.source.mkdir()
    Tree(scene.source).settle()
    result = scene.night(expect=None)
    assert_failed(scene, history, result, code=13, says="--accept-changes")
    scene.source.rmdir()
    kept.rename(scene.source)
    assert_recovers(scene, history)
    for path in scene.source.glob("f*"):
        path.unlink()
    Tree(scene.source).settle()
    assert_failed(scene, history, scene.night(expect=None), code=13)
    scene.night("--accept-changes")
    history.check()
    history.check_newest(fingerprint(scene.source))


def test_mass_change_asks_first(scene: Scene) -> None:
    """What ransomware does: most files change in one night."""
    scene.configure(guard={"min_free": "1M", "min_free_inodes": 10})
    for number in range(150):
        (scene.source / f"f{number}").write_text("x")
    Tree(scene.source).settle()
    history = first_night(scene)
    for number in range(150):
        (scene.source / f"f{number}").write_bytes(os.urandom(40))
    Tree(scene.source).settle()
    assert_failed(scene, history, scene.night(expect=None), code=13, says="--accept-changes")
    scene.night("--accept-changes")
    history.check()


def test_an_empty_first_night(scene: Scene) -> None:
    """An empty source is suspicious from the first night on, and is mirrored as it is when asked to."""
    subprocess.run(["rm", "-rf", str(scene.source)], check=True)
    scene.source.mkdir()
    Tree(scene.source).settle()
    assert_failed(scene, History(scene), scene.night(expect=None), code=13, says="empty")
    scene.night("--accept-changes")
    assert list(scene.slots()[1].iterdir()) == []
