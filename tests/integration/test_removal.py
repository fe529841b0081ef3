"""forget and purge: what was named goes, byte for byte nothing else changes; what is cut off is completed.

SNAPMIRROR_TEST_LONG=1    more histories, a kill at every call, more power cuts
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from tests.conftest import Figures
from tests.support import crash, powercut
from tests.support.files import put
from tests.support.fingerprint import Fingerprint, compare, fingerprint
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import LONG, Scene
from tests.support.scenes import copy_of
from tests.support.storage import TINY, stack_image
from tests.support.trees import Tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")
HISTORIES, KILLS, BETWEEN, MOST = (30, 1_000_000, 40, 1_000_000) if LONG else (2, 2, 12, 8)
PURGE = ("secret", "etc/key", "-", "--from-history", "--yes")
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)


def without(before: Fingerprint, paths: list[bytes]) -> Fingerprint:
    """A tree from which names have gone, with what lay below them."""

    def goes(path: bytes) -> bool:
        return any(path == one or path.startswith(one + b"/") for one in paths)

    return {
        path: replace(mark, links=tuple(name for name in mark.links if not goes(name)))
        for path, mark in before.items()
        if not goes(path)
    }


def trees(scene: Scene) -> dict[str, Fingerprint]:
    return {name: fingerprint(path) for name, path in scene.published().items()}


def same(expected: Fingerprint, now: Fingerprint) -> bool:
    return not compare(expected, now)


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_random_names_of_a_random_history(tmp_path: Path, seed: int, figures: Figures) -> None:
    """Files, folders, leaders of link groups and their other names; then nights go on, and recycle what was purged."""
    rng, scene = random.Random(f"purge {seed}"), Scene(tmp_path)
    scene.configure(keep_last=3, acls=True, xattrs=True)
    tree = Tree(scene.source)
    tree.grow(random_kinds(rng, 40))
    for _ in range(5):
        live_a_day(tree, random_changes(rng, 8))
        tree.settle()
        scene.night("--accept-changes", expect=(0, 3))
    before = trees(scene)
    present = sorted(set().union(*before.values()) - {b"."})
    linked = [path for marks in before.values() for path, mark in marks.items() if len(mark.links) > 1]
    chosen = [*rng.sample(present, 3), *rng.sample(sorted(set(linked)), min(2, len(set(linked))))]
    words = ["--", *map(os.fsdecode, chosen)]
    trial = scene.command("purge", "--dry-run", "--json", "--accept-changes", *words)
    assert trial.exit_code == (3 if trial.json["other_names"] else 0) and trees(scene) == before, str(trial)
    result = scene.command("purge", "--from-history", "--yes", "--accept-changes", "--json", *words)
    assert result.exit_code == trial.exit_code, str(result)
    named = {one["id"]: len(one["names"]) for one in result.json["snapshots"]}
    for name, now in trees(scene).items():
        lines = compare(without(before[name], chosen), now)
        assert not lines, f"{name}, purged of {chosen}:\n" + "\n".join(lines)
        assert len(before[name]) - len(now) == named.get(name, 0)
    assert all(one["new_bytes"] <= one["bytes"] for one in scene.command("list", "--json").json)
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, str(verified)
    for file in (scene.home / ".snapmirror").glob("[chms]*/[0-9]*.zst"):
        text = subprocess.run(["zstdcat", file], check=True, capture_output=True).stdout
        for path in chosen:
            assert b"//" + path + b"\n" not in text and b" " + path + b"\n" not in text, f"{path!r} is named in {file}"
    note = json.loads((scene.home / ".snapmirror" / "record.json").read_text())["purged"]
    assert len(note) == 1 and note[0]["by"] and note[0]["at"] and len(note[0]["paths"]) == len(set(chosen))
    sealed = trees(scene)
    for night in range(4):
        live_a_day(tree, random_changes(rng, 5))
        tree.settle()
        scene.night("--accept-changes", *(["--full"] if night == 2 else []), expect=(0, 3))
        for name, now in trees(scene).items():
            assert not compare(sealed.setdefault(name, now), now), name
        assert same(tree.fingerprint(), fingerprint(scene.slots()[1])) or night != 2
    assert scene.command("verify", "--full").exit_code == 0
    figures.add(f"purges of random names: history {seed}: {len(chosen)} names, 0 others changed")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Five nights, of which four are kept: one snapshot is parked for recycling. `secret` has a second name."""
    scene = Scene(tmp_path_factory.mktemp("sealed"))
    scene.configure(keep_last=4)
    source = scene.source
    put(source / "secret", b"password")
    put(source / "etc" / "key", b"another")
    put(source / "etc" / "fstab", b"stays")
    (source / "-").mkdir()
    put(source / "-" / "deep", b"in a folder")
    os.link(source / "secret", source / "etc" / "alias")
    for night in range(5):
        put(source / "changing", b"version %d" % night, 1_600_000_000 + night)
        if night == 2:
            put(source / "secret", b"password two")
        scene.night()
    yield scene
    scene.release()


@pytest.fixture
def scene(sealed: Scene, tmp_path: Path) -> Scene:
    return copy_of(sealed, tmp_path / "scene", keep_last=4)


def purged(before: dict[str, Fingerprint]) -> dict[str, Fingerprint]:
    return {name: without(marks, [b"secret", b"etc/key", b"-"]) for name, marks in before.items()}


def test_forgotten_snapshots_go_and_all_others_stay(scene: Scene) -> None:
    before = trees(scene)
    ids = list(before)
    result = scene.command("forget", ids[0], "3", "--yes")
    assert result.exit_code == 0, str(result)
    assert trees(scene) == {name: before[name] for name in (ids[1], ids[3])}
    for night in range(3):
        put(scene.source / "changing", b"later %d" % night, 1_700_000_000 + night)
        scene.night()
        now = trees(scene)
        assert {name: now[name] for name in (ids[1], ids[3]) if name in now}.items() <= before.items()
    assert scene.command("verify", "--full").exit_code == 0


def test_what_is_refused(scene: Scene) -> None:
    before = trees(scene)
    ids = list(before)
    scene.command("pin", ids[1])
    for words, code, says in (
        (["forget", ids[1], "--yes"], 2, "is pinned"),
        (["forget", *ids[:1], *ids[2:], "--yes"], 0, ""),
        (["forget", ids[0]], 2, "no terminal"),
        (["forget", "99", "--yes"], 2, "no snapshot in slot 99"),
        (["purge", "secret", "--yes"], 2, "from every snapshot"),
        (["purge", "/", "--from-history", "--yes"], 2, "this is the whole tree"),
        (["purge", "nothing", "--from-history", "--yes"], 2, "holds nothing"),
        (["purge", "secret", "--from-history", "--yes"], 2, f"{ids[1]} is pinned and holds it"),
        (["purge", "secret", "--from-history"], 2, ""),
    ):
        dry = [*words, "--dry-run"] if code == 0 else words
        result = scene.command(*dry)
        assert result.exit_code == code and says in result.stderr, str(result)
    assert trees(scene) == before
    scene.command("unpin", ids[1])
    result = scene.command("forget", *ids, "--yes")
    assert result.exit_code == 13 and "no complete snapshot would remain" in result.stderr, str(result)
    scene.configure(keep_last=4, guard={"at_least": 2, "max_deleted": "30%", "min_free": "1M", "min_free_inodes": 10})
    result = scene.command("purge", "etc", "--from-history", "--yes")
    assert result.exit_code == 13 and "entries" in result.stderr, str(result)
    assert trees(scene) == before
    for words in (["--dry-run"], ["--dry-run", "--json"], ["--dry-run", "--quiet"]):
        result = scene.command("purge", "secret", "--from-history", *words, "--accept-changes")
        assert result.exit_code == 3 and "and their content, are kept: etc/alias" in result.stderr, str(result)
    result = scene.command("purge", "secret", "--from-history", "--yes", "--accept-changes")
    assert result.exit_code == 3, str(result)
    assert (
        "other names of the same files, and their content, are kept" in result.stderr and "etc/alias" in result.stderr
    )
    assert "exclude them" in result.stderr


def test_an_unfinished_night_keeps_no_copy(scene: Scene) -> None:
    """What a night that was killed has fetched of it goes as well."""
    put(scene.source / "secret", b"password three " * 100_000)
    scene.fake_program("rsync", '#!/bin/sh\n/usr/bin/rsync "$@"; code=$?\n'
                       'case "$*" in *--dry-run*) exit $code ;; esac\nexit 12\n')  # fmt: skip
    assert scene.command("run").exit_code == 12
    (scene.programs / "rsync").unlink()
    assert scene.command("purge", *PURGE).exit_code == 3, "etc/alias is kept"
    found = subprocess.run(["grep", "--recursive", "--files-with-matches", "password three", scene.store],
                           check=False, capture_output=True, text=True).stdout  # fmt: skip
    assert found == ""


@pytest.mark.parametrize("command", ["purge", "forget"])
def test_killed_at_any_point(sealed: Scene, tmp_path: Path, command: str, figures: Figures) -> None:
    """The snapshots are as they were, or as they were to be, after the next command that writes."""
    before = trees(sealed)
    ids = list(before)
    words = PURGE if command == "purge" else (ids[0], ids[2], "--yes")
    after = purged(before) if command == "purge" else {name: before[name] for name in (ids[1], ids[3])}
    calls = [*crash.RENAMES, *crash.FLUSHES, "link", "unlink", "unlinkat"]
    found, result = crash.points(copy_of(sealed, tmp_path / "trial", keep_last=4), calls, *words, command=command)
    assert result.exit_code == (3 if command == "purge" else 0), str(result)  # etc/alias is kept
    chosen = [
        point
        for call in sorted({point.call for point in found})
        for point in crash.spread([one for one in found if one.call == call], KILLS)
    ]
    hit = 0
    for number, point in enumerate(chosen):
        scene = copy_of(sealed, tmp_path / f"kill{number}", keep_last=4)
        hit += crash.killed_at(scene, point, *words, command=command).exit_code in KILLED
        scene.command("pin", ids[1])
        scene.command("unpin", ids[1])
        now = trees(scene)
        states = [state for state in (before, after) if state.keys() == now.keys()]
        assert any(all(same(state[name], now[name]) for name in now) for state in states), (
            f"{point}: neither as it was nor as it was to be: {crash.last_call(scene)}"
        )
        verified = scene.command("verify", "--full")
        assert verified.exit_code == 0, f"{point}: {verified}"
        scene.night()
        assert scene.command("verify", "--full").exit_code == 0, str(point)
        shutil.rmtree(scene.folder)
    assert hit > len(chosen) // 2
    figures.add(f"kills of {command}: {hit} of {len(found)} points tried, 0 lost")


def test_a_power_cut_while_purging(folder: Path, figures: Figures) -> None:
    scene = Scene(folder / "scene", image=stack_image(folder, "none", "xfs"))
    scene.configure(keep_last=3)
    initialise(load(scene.config), workload=TINY)
    put(scene.source / "secret", b"password")
    put(scene.source / "stays", b"stays")
    for night in range(4):
        put(scene.source / "changing", b"version %d" % night, 1_600_000_000 + night)
        scene.night()
    with open_store(load(scene.config), read_only=True):
        before = trees(scene)
    after = {name: without(marks, [b"secret"]) for name, marks in before.items()}
    image, base = Path(scene.image["file"]), folder / "before.img"
    image.rename(base)
    with powercut.recorded(base, folder / "writes.log", image):
        assert scene.command("purge", "secret", "--from-history", "--yes").exit_code == 0
    log = powercut.Log(folder / "writes.log")
    ends = {"before": 0, "completed": 0}
    try:
        cuts = crash.spread(log.cuts(random.Random("purge"), BETWEEN), MOST)
        for number, (cut, disk) in enumerate(powercut.disks(log, base, cuts, folder)):
            disk.rename(image)
            assert scene.command("pin", "1").exit_code == 0, f"cut {number}, {cut}"
            with open_store(load(scene.config), read_only=True):
                now = trees(scene)
            kind = "before" if now.keys() == before.keys() and all(same(before[one], now[one]) for one in now) else ""
            if not kind:
                assert all(same(after[one], now[one]) for one in now) and now.keys() == after.keys(), f"{number} {cut}"
                kind = "completed"
            ends[kind] += 1
            assert scene.command("verify", "--full").exit_code == 0, f"cut {number}, {cut}"
    finally:
        log.close()
    assert all(ends.values()), ends
    figures.add(f"power cuts while purging: {sum(ends.values())} tried, {ends['completed']} completed, 0 lost")


def test_a_night_goes_on_from_what_stays(scene: Scene) -> None:
    """The machine remembers which snapshot was the newest: forgetting that one is no attack."""
    put(scene.source / "changing", b"one more", 1_700_000_000)
    newest = scene.night().mirror["snapshot"]
    assert scene.command("forget", "newest", "--yes").exit_code == 0
    assert newest not in scene.published()
    put(scene.source / "changing", b"and more", 1_700_000_001)
    scene.night()
    assert scene.command("verify", "--full").exit_code == 0
