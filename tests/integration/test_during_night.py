"""What is asked of a store in an image while a night has it: names are told by copies, the rest says who has it.

The night is made slow by programs that wait before they do what they are called for, at each of its phases; nobody
who asks may keep it from closing the store.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

from snapmirror.config import load
from snapmirror.state import catalogues
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from snapmirror.storage.run_lock import run_lock
from tests.support import fake_rsync
from tests.support.crash import Point, changed_at
from tests.support.runner import Result, Scene
from tests.support.storage import TINY, holding_process, stack_image
from tests.support.storage import Scene as Storage
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="images need root")
PHASES = {"opening": "losetup", "transfer": "rsync", "closing": "umount"}
_GATE = """#!/bin/sh
for last; do :; done
if [ {program} = losetup ] || [ "$last" = {store} ]; then
    touch {gate}.reached
    while [ -e {gate} ]; do sleep 0.02; done
fi
exec {real} "$@"
"""


@pytest.fixture
def image(folder: Path) -> Scene:
    """A store in an image with two snapshots: `old` moved, `text` changed, `sub/new` came."""
    (folder / "disk").mkdir()
    scene = Scene(folder / "scene", image=stack_image(folder / "disk", "none", "xfs"))
    scene.source.joinpath("old").write_text("old " * 100)
    scene.source.joinpath("text").write_text("one\n")
    initialise(load(scene.config), workload=TINY)
    scene.night()
    scene.source.joinpath("old").rename(scene.source / "moved")
    scene.source.joinpath("text").write_text("one\ntwo\n")
    scene.source.joinpath("sub").mkdir()
    scene.source.joinpath("sub/new").write_text("new")
    scene.night()
    return scene


def ids(scene: Scene) -> list[str]:
    listed = scene.command("list", "--json")
    assert listed.exit_code == 0, str(listed)
    return [one["id"] for one in listed.json]


QUESTIONS = ["list --json", "find text --json", "diff 2 1", "list", "ls 2 /", "diff 2 1 /sub --json"]
NEEDS_CONTENT = ["restore newest / --to {}", "mount", "cat newest text", "diff 2 1 /text", "umount", "pin newest"]


def answers(scene: Scene, most: int = len(QUESTIONS)) -> list[str]:
    """What names tell."""
    told = []
    for question in QUESTIONS[:most]:
        done = scene.command(*question.split())
        assert done.exit_code == 0, f"{question}: {done}"
        assert done.stdout
        told.append(done.stdout)
    return told


def refused(scene: Scene, target: Path, most: int = len(NEEDS_CONTENT)) -> None:
    """What needs the store itself says what `restore` says."""
    for command in NEEDS_CONTENT[:most]:
        words = command.format(target).split()
        done = scene.command(*words)
        assert done.exit_code == 10, f"{words}: {done}"
        assert "another run holds the store: pid " in done.stderr
        assert "hint: wait for it, or stop it" in done.stderr


class Gates:
    """Programs before which the night waits. A gate is open when its file is gone."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        for program in PHASES.values():
            gate = self.gate(program)
            gate.touch()
            if program == "rsync":  # which may write nowhere but in the staging folder
                fake_rsync.install(scene, f'while [ "$phase" = transfer ] && [ -e {gate} ]; do sleep 0.02; done')
            else:
                scene.fake_program(
                    program, _GATE.format(program=program, store=scene.store, gate=gate, real=shutil.which(program))
                )

    def gate(self, program: str) -> Path:
        return self.scene.scratch / f"gate.{program}"

    def wait(self, program: str, night: Any) -> None:
        def is_reached() -> bool:
            if program == "rsync":
                return any(call.startswith("transfer ") for call in fake_rsync.calls(self.scene))
            return Path(f"{self.gate(program)}.reached").exists()

        until(is_reached, f"the night comes to {program}", running=night)

    def open(self, program: str) -> None:
        self.gate(program).unlink()


@contextmanager
def slow_night(scene: Scene) -> Iterator[tuple[Any, Gates]]:
    gates = Gates(scene)
    night = scene.start("run", "--json")
    try:
        yield night, gates
    finally:
        for program in PHASES.values():
            gates.gate(program).unlink(missing_ok=True)
        if night.poll() is None:
            night.wait(60)


def test_names_are_told_at_each_phase_of_a_night(image: Scene, folder: Path) -> None:
    image.source.joinpath("third").write_text("3")
    before, told = ids(image), answers(image)
    with slow_night(image) as (night, gates):
        for phase in ("opening", "transfer"):
            gates.wait(PHASES[phase], night)
            most = 6 if phase == "transfer" else 3
            assert answers(image, most) == told[:most], phase
            refused(image, folder / "target", most)
            gates.open(PHASES[phase])
        gates.wait(PHASES["closing"], night)
        now = ids(image)
        assert now[1:] == before, "what is published is told before the store is closed"
        assert "third" in image.command("ls", "newest").stdout
        refused(image, folder / "target", 2)
        gates.open(PHASES["closing"])
        done = image.finish(night)
    assert done.exit_code == 0, str(done)
    assert done.mirror["warnings"] == []
    for program in PHASES.values():
        (image.programs / program).unlink()
    assert image.leftovers() == []
    assert ids(image) == now
    assert not (folder / "target").exists()
    assert image.command("verify").exit_code == 0


def test_names_are_told_while_a_night_is_sealed(image: Scene) -> None:
    image.source.joinpath("third").write_text("3")
    before, seen = ids(image), []

    def ask() -> None:
        seen.append((ids(image), image.command("find", "text", "--json")))

    night, stopped = changed_at(image, Point("syncfs", 1), ask)
    assert (night.exit_code, stopped) == (0, True), str(night)
    [(listed, found)] = seen
    assert listed == before
    assert (found.exit_code, "another run holds the store: pid " in found.stderr) == (0, True), str(found)
    assert "until it ends, this is the state of 20" in found.stderr
    assert len(ids(image)) == 3
    assert image.leftovers() == []


def test_a_night_waits_for_who_only_reads(folder: Path) -> None:
    """A `find` that has opened the image itself does not end a night that begins meanwhile."""
    storage = Storage(folder / "scene")
    initialise(storage.config, workload=TINY)
    reader = holding_process(storage)
    try:
        scene = Scene(folder / "scene", image={"file": str(storage.image), "size": "512M", "encryption": "none"})
        scene.source.joinpath("file").write_text("0")
        night = scene.start("--verbose", "run", "--json")
        assert night.stderr is not None
        said: list[str] = []
        while "waiting for it" not in (line := night.stderr.readline()):
            assert line, "".join(said)
            said.append(line)
        assert f"is in use by another snapmirror (pid {reader.pid})" in line
        listed = scene.command("list")
        assert (listed.exit_code, "another run holds the store: pid" in listed.stderr) == (10, True), str(listed)
    finally:
        reader.communicate()
    done = scene.finish(night)
    assert done.exit_code == 0, str(done)
    assert scene.leftovers() == []


def test_who_finds_the_image_taken_by_a_reader_reads_the_copies(folder: Path) -> None:
    storage = Storage(folder / "scene")
    initialise(storage.config, workload=TINY)
    scene = Scene(folder / "scene", image={"file": str(storage.image), "size": "512M", "encryption": "none"})
    scene.source.joinpath("file").write_text("0")
    scene.night()
    reader = holding_process(storage)
    try:
        listed = scene.command("list", "--json")
        mounted = scene.command("mount")
    finally:
        reader.communicate()
    assert (listed.exit_code, len(listed.json)) == (0, 1), str(listed)
    assert f"is in use by another snapmirror (pid {reader.pid})" in listed.stderr
    assert (mounted.exit_code, "is in use by another snapmirror" in mounted.stderr) == (10, True), str(mounted)


# --- the copies


def copies(scene: Scene) -> Path:
    return catalogues.folder_of(load(scene.config)) / scene.name


def held_meanwhile(scene: Scene, ask: Callable[[], Result]) -> Result:
    """An answer by the copies: somebody has the lock of runs."""
    with run_lock(load(scene.config)):
        return ask()


def held_answers(scene: Scene) -> list[str]:
    with run_lock(load(scene.config)):
        return answers(scene)


def test_copies_are_their_owners_alone_and_follow_what_changes_history(image: Scene) -> None:
    kept = copies(image)
    for path in (kept.parent, *kept.parent.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    newest, oldest = ids(image)
    assert {path.stem for path in (kept / "manifests").iterdir()} == {newest, oldest}

    purged = image.command("purge", "/sub/new", "--from-history", "--yes")
    assert purged.exit_code == 0, str(purged)
    found = held_meanwhile(image, lambda: image.command("find", "new", "--json"))
    assert (found.exit_code, found.json) == (0, []), str(found)
    for path in kept.rglob("*.zst"):
        text = zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True).read()
        assert b"sub/new" not in text, path

    assert image.command("pin", "1").exit_code == 0
    listed = held_meanwhile(image, lambda: image.command("list", "--json")).json
    assert [one["pinned"] for one in listed] == [True, False]
    assert image.command("forget", oldest, "--yes").exit_code == 0
    listed = held_meanwhile(image, lambda: image.command("list", "--json")).json
    assert [one["id"] for one in listed] == [newest]
    assert [path.stem for path in (kept / "manifests").iterdir()] == [newest]
    assert image.command("unpin", newest).exit_code == 0
    retired = image.command("retire", image.name, "--accept-changes", "--yes")
    assert (retired.exit_code, kept.exists()) == (0, False), str(retired)


def test_copies_come_again_and_can_be_switched_off(image: Scene) -> None:
    kept = copies(image)
    shutil.rmtree(kept.parent)
    nothing = held_meanwhile(image, lambda: image.command("list"))
    assert (nothing.exit_code, "another run holds the store: pid" in nothing.stderr) == (10, True), str(nothing)
    image.night()
    (kept / f"manifests/{ids(image)[0]}.zst").write_bytes(b"")  # as a power cut may leave it
    image.source.joinpath("sub/fourth").write_text("4")
    image.night()
    assert answers(image) == held_answers(image)
    (kept / "index.json").write_bytes(b"")
    assert held_meanwhile(image, lambda: image.command("list")).exit_code == 10

    config = image.config.read_text()
    image.config.write_text(config.replace("[store]", "[store]\nkeep_names = false", 1))
    image.command("run")
    assert not kept.parent.exists()
    image.config.write_text(config)


def test_a_state_folder_without_room_for_copies_fails_no_night(image: Scene) -> None:
    kept = copies(image)
    shutil.rmtree(kept.parent)
    kept.parent.write_text("somebody's file")
    night = image.night()
    assert night.mirror["warnings"] == []
    assert kept.parent.read_text() == "somebody's file"
    with open_store(load(image.config), read_only=True) as store:
        assert len(json.loads((store.path / "web/.snapmirror/record.json").read_text())["snapshots"]) == 3
