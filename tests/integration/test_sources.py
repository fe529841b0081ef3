"""Every way to reach a source, each through several nights: local, ssh, restricted key, jump host, rsync daemon.

The servers are real: a private sshd and a private rsync daemon on loopback.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import History, Scene
from tests.support.sshd import RRSYNC, rsync_daemon_running, sshd_running
from tests.support.trees import Tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")
Setup = Callable[[Scene, ExitStack], dict[str, Any]]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.release()


def local(scene: Scene, servers: ExitStack) -> dict[str, Any]:
    return {"source": str(scene.source)}


def ssh(scene: Scene, servers: ExitStack) -> dict[str, Any]:
    server = servers.enter_context(sshd_running(scene.folder / "sshd"))
    return {"source": f"{server.login}:{scene.source}", **server.options()}


def ssh_without_user(scene: Scene, servers: ExitStack) -> dict[str, Any]:
    server = servers.enter_context(sshd_running(scene.folder / "sshd"))
    return {"source": f"127.0.0.1:{scene.source}/", **server.options()}


def ssh_with_odd_paths(scene: Scene, servers: ExitStack) -> dict[str, Any]:
    """Blanks and quotes in the paths of the key, of the known hosts and of the source."""
    server = servers.enter_context(sshd_running(scene.folder / "the server's keys & more"))
    odd = scene.folder / "the source's $HOME (of *all*)"
    odd.symlink_to(scene.source)
    return {"source": f"{server.login}:{odd}/", **server.options()}


def restricted_key(scene: Scene, servers: ExitStack) -> dict[str, Any]:
    """The key may only run rrsync on the source, read-only: the path is relative to that."""
    server = servers.enter_context(sshd_running(scene.folder / "sshd"))
    key = server.restrict(f"{RRSYNC} -ro {scene.source}")
    return {"source": f"{server.login}:/", **server.options(), "identity": str(key)}


def restricted_key_below(scene: Scene, servers: ExitStack) -> dict[str, Any]:
    server = servers.enter_context(sshd_running(scene.folder / "sshd"))
    key = server.restrict(f"{RRSYNC} -ro {scene.folder}")
    return {"source": f"{server.login}:/source", **server.options(), "identity": str(key)}


def jump_host(scene: Scene, servers: ExitStack) -> dict[str, Any]:
    """Through a gate that knows the same key, to a server that only the gate's forwarding reaches."""
    gate = servers.enter_context(sshd_running(scene.folder / "gate"))
    server = servers.enter_context(sshd_running(scene.folder / "sshd"))
    gate.authorized_keys.write_text(gate.authorized_keys.read_text() + (server.folder / "identity.pub").read_text())
    server.known_hosts.write_text(server.known_hosts.read_text() + gate.known_hosts.read_text())
    options = {**server.options(), "jump_host": f"{gate.login}:{gate.port}"}
    return {"source": f"{server.login}:{scene.source}", **options}


def daemon(scene: Scene, servers: ExitStack) -> dict[str, Any]:
    port = servers.enter_context(rsync_daemon_running(scene.folder / "rsyncd", scene.source))
    return {"source": f"rsync://127.0.0.1:{port}/data"}


def daemon_with_password(scene: Scene, servers: ExitStack) -> dict[str, Any]:
    secret = scene.folder / "password"
    secret.write_text("a secret, with blanks\n")
    secret.chmod(0o600)
    port = servers.enter_context(
        rsync_daemon_running(scene.folder / "rsyncd", scene.folder, password="a secret, with blanks")
    )
    return {"source": f"rsync://backup@127.0.0.1:{port}/data/source/", "password_file": str(secret)}


SOURCES: list[Setup] = [
    local, ssh, ssh_without_user, ssh_with_odd_paths, restricted_key, restricted_key_below, jump_host, daemon,
    daemon_with_password,
]  # fmt: skip


@pytest.mark.parametrize("setup", SOURCES, ids=lambda setup: setup.__name__)
def test_nights_from(scene: Scene, setup: Setup) -> None:
    rng = random.Random(setup.__name__)
    tree, history = Tree(scene.source), History(scene)
    tree.grow(random_kinds(rng, 40))
    tree.settle()
    with ExitStack() as servers:
        scene.configure(keep_last=2, **setup(scene, servers))
        for number in range(5):
            full = number == 2
            result = scene.night("--accept-changes", *(["--full"] if full else []))
            assert "secret" not in result.stdout + result.stderr
            history.check()
            history.check_newest(tree.fingerprint(), full=full)
            assert scene.leftovers() == []
            tree.published()
            live_a_day(tree, random_changes(rng, 10))
        verified = scene.command("verify", "--full")
        assert verified.exit_code == 0, str(verified)


def test_an_unchanged_night_moves_nothing(scene: Scene) -> None:
    """Over ssh, with every kind of entry: the second night plans and moves nothing, the third (full) neither."""
    tree = Tree(scene.source)
    tree.grow(random_kinds(random.Random("unchanged"), 120))
    tree.settle()
    with ExitStack() as servers:
        scene.configure(**ssh(scene, servers))
        scene.night()
        for words in ([], ["--full"]):
            plan = scene.command("plan", "--json")
            assert plan.exit_code == 0, str(plan)
            mirror = scene.night(*words).mirror
            for key in ("added", "updated", "attributes", "deleted", "bytes_transferred"):
                assert mirror[key] == 0, f"{words}: {mirror}"


def test_rsync_path_runs_the_remote_side(scene: Scene) -> None:
    """The remote side is an ordinary user there: what it cannot read is a warning, and stays in the snapshot."""
    (scene.source / "open").write_text("for all")
    (scene.source / "open").chmod(0o644)
    scene.source.chmod(0o755)
    with ExitStack() as servers:
        options = ssh(scene, servers)
        wrapper = scene.folder / "remote rsync"
        wrapper.write_text(f'#!/bin/sh\necho called >> "{scene.folder}/called"\nexec /usr/bin/rsync "$@"\n')
        wrapper.chmod(0o755)
        scene.configure(**options, rsync_path=f"'{wrapper}'")
        scene.night()
    assert (scene.folder / "called").read_text().startswith("called")


def test_filters_are_those_of_rsync(scene: Scene) -> None:
    for path in (
        "keep/a",
        "skip/b",
        "skip/keep.txt",
        "cache/c",
        "cache/.nobackup",
        "big/d",
        "deep/er/cache/e",
        "f.tmp",
    ):
        (scene.source / path).parent.mkdir(parents=True, exist_ok=True)
        (scene.source / path).write_text(path)
    (scene.source / "big" / "large").write_bytes(b"x" * 50_000)
    more = scene.folder / "more.exclude"
    more.write_text("# comment\n*.tmp\n")
    scene.configure(
        include=["/skip/", "/skip/keep.txt"], exclude=["/skip/*"], exclude_from=str(more), exclude_marker=".nobackup",
        max_size="20K",
    )  # fmt: skip
    for _ in range(2):
        scene.night()
        slot = scene.slots()[1]
        there = {str(path.relative_to(slot)) for path in slot.rglob("*") if path.is_file()}
        assert {"keep/a", "skip/keep.txt", "big/d", "deep/er/cache/e"} <= there
        assert not there & {"skip/b", "cache/c", "f.tmp", "big/large"}, there


def test_changed_filters_take_away_what_they_exclude(scene: Scene) -> None:
    """What a new exclude hits is gone from the next snapshot and stays in the old ones."""
    (scene.source / "a").write_text("a")
    (scene.source / "b").write_text("b")
    scene.night()
    scene.configure(exclude=["/b"])
    scene.night()
    assert [sorted(path.name for path in slot.iterdir()) for slot in scene.slots().values()] == [["a"], ["a", "b"]]
    scene.configure(exclude=[])
    scene.night()
    assert sorted(path.name for path in scene.slots()[1].iterdir()) == ["a", "b"]


def test_what_grows_over_max_size_is_named(scene: Scene) -> None:
    """A file that leaves the snapshots for its size does so with a word, once; one that is deleted does without."""
    names = [
        "big",
        "a,b",
        "caf\u00e9",
        "hello-world|x",
        "new\nline",
        "is over max-size",
        "gone",
        "folder/deep",
        "shrinks",
    ]
    (scene.source / "folder").mkdir()
    for name in names:
        (scene.source / name).write_text("x" * 500)
    (scene.source / "always too large").write_text("x" * 5000)
    with ExitStack() as servers:
        scene.configure(**restricted_key(scene, servers), max_size="1K", min_size="100")
        assert scene.night().mirror["warnings"] == []
        for name in names:
            (scene.source / name).write_text("x" * 5000)
        (scene.source / "gone").unlink()
        (scene.source / "shrinks").write_text("x")
        plan = scene.command("plan")
        assert "max_size" in plan.stdout + plan.stderr, str(plan)
        grown, shrunk = scene.night(expect=(3,)).mirror["warnings"]
        assert grown.startswith("7 files of the last snapshot have grown over max_size = 1.0 KiB"), grown
        assert shrunk == "1 file of the last snapshot has shrunk below min_size = 100 B, so the new one lacks: shrinks"
        assert "big" in grown and "gone" not in grown and "always" not in grown
        assert [path.name for path in scene.slots()[1].iterdir()] == ["folder"]
        assert scene.night().mirror["warnings"] == []
        (scene.source / "big").write_text("x" * 500)
        assert scene.night("--full").mirror["warnings"] == []
        assert (scene.slots()[1] / "big").exists()
