"""Names that programs stumble over: each as file, directory, symbolic link and link target, through all commands.

A name may hold any byte but / and NUL, and every command takes it and shows it without harm.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runner import LONG, History, Scene
from tests.support.sshd import sshd_running
from tests.support.trees import NAMES, Tree


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.release()


def plant(scene: Scene) -> Tree:
    tree = Tree(scene.source)
    root = os.fsencode(scene.source)
    for folder in (b"files", b"folders", b"links", b"targets"):
        Path(os.fsdecode(root + b"/" + folder)).mkdir()
    for number, name in enumerate(NAMES):
        tree.write(b"files/" + name, name * 3)
        Path(os.fsdecode(root + b"/folders/" + name)).mkdir()
        tree.write(b"folders/" + name + b"/inside", name)
        Path(os.fsdecode(root + b"/links/" + name)).symlink_to(b"../files/plain".decode())
        Path(os.fsdecode(root + b"/targets/%d" % number)).symlink_to(os.fsdecode(name))
        Path(os.fsdecode(root + b"/twin%d" % number)).hardlink_to(os.fsdecode(root + b"/files/" + name))
    tree.settle()
    return tree


def change(tree: Tree, night: int) -> None:
    """Each night another third of the names changes in each way: content, attributes, gone and back again."""
    for number, name in enumerate(NAMES):
        path = b"files/" + name
        match (number + night) % 4:
            case 0:
                tree.write(path, b"%d" % night + name)
            case 1:
                Path(os.fsdecode(tree.full(b"folders/" + name))).chmod(0o700 + night)
            case 2:
                inside = Path(os.fsdecode(tree.full(b"folders/" + name + b"/inside")))
                inside.unlink() if inside.exists() else inside.write_text("back again")
            case 3:
                Path(os.fsdecode(tree.full(path))).chmod(0o600 + night)
    tree.settle()


@pytest.mark.parametrize("over", ["local", "ssh"])
def test_every_name_through_the_nights(scene: Scene, over: str) -> None:
    tree, history = plant(scene), History(scene)
    with sshd_running(scene.folder / "sshd") as server:
        if over == "ssh":
            scene.configure(source=f"{server.login}:{scene.source}", **server.options())
        scene.configure(keep_last=2)
        for night in range(5):
            scene.night(*(["--full"] if night == 3 else []))
            history.check()
            history.check_newest(tree.fingerprint())
            tree.published()
            change(tree, night)
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, str(verified)


def test_commands_take_every_name(scene: Scene) -> None:
    """find, diff, plan and restore with each name; output for people never sends a control byte to the terminal."""
    tree = plant(scene)
    scene.night()
    change(tree, 0)
    scene.night()
    for words in (["plan"], ["diff", "2", "1"], ["list"]):
        shown = scene.command(*words)
        assert shown.exit_code == 0, str(shown)
        text = shown.stdout.encode("utf-8", "surrogateescape")
        assert not set(text) & (set(range(32)) - {9, 10, 13} | {127}), words
        asjson = scene.command(*words, "--json")
        json.loads(asjson.stdout)
    out = scene.folder / "out"
    for number, name in enumerate(NAMES):
        if number % 3 != 0 and not LONG:
            continue
        path = os.fsdecode(b"files/" + name)
        found = scene.command("find", path, "--json")
        assert found.exit_code == 0, f"{name!r}: {found}"
        assert json.loads(found.stdout), f"{name!r} was not found"
        if number % 6 == 0:
            restored = scene.command("restore", "newest", path, "--to", str(out / str(number)), "--yes")
            assert restored.exit_code == 0, f"{name!r}: {restored}"
            inside = [found for found in (out / str(number)).rglob("*") if found.is_file()]
            assert [file.read_bytes() for file in inside] == [
                Path(os.fsdecode(tree.full(b"files/" + name))).read_bytes()
            ]


def test_a_path_at_the_limit(scene: Scene) -> None:
    """15 levels of 255 bytes: near the 4,096 bytes that a path may have; the store's own prefix is longer."""
    tree, history = Tree(scene.source), History(scene)
    path = b""
    deepest = (4096 - len(os.fsencode(scene.store)) - 200) // 251
    for _ in range(deepest):
        path = os.path.join(path, b"n" * 250)
        Path(os.fsdecode(tree.full(path))).mkdir()
    tree.write(path + b"/bottom", b"deep down")
    tree.settle()
    for night in range(4):
        scene.configure(keep_last=2)
        scene.night()
        history.check()
        history.check_newest(tree.fingerprint())
        tree.write(path + b"/bottom", b"deep down %d" % night)
        tree.settle()
