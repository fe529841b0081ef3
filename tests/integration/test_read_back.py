"""The share of all contents that each night reads back: damage on the disk is found in time, told, and healed.

SNAPMIRROR_TEST_LONG=1    more damaged files, and a kill at every note and flush of the reading
"""

from __future__ import annotations

import json
import mmap
import os
import random
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from snapmirror.config import load
from snapmirror.snapshots.entry import join
from snapmirror.snapshots.hardlink.history import HardlinkHistory
from snapmirror.snapshots.verify import Report
from snapmirror.snapshots.verify.draw import WHOLE, draw, names
from snapmirror.storage.initialise import initialise
from tests.conftest import Figures
from tests.support import crash
from tests.support.clock import shifted
from tests.support.files import put
from tests.support.fingerprint import compare, fingerprint
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import LONG, Result, Scene
from tests.support.storage import TINY
from tests.support.trees import Tree

DAYS = 5
FLIPS = 60 if LONG else 6
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
REGROUPED = ("link", "link_over", "break_link", "lose_leader", "new_leader", "write_through_link",
             "directory_becomes_file", "file_becomes_directory", "swap")  # fmt: skip
MANY = 9000  # more than two stretches


def on_day(number: int) -> list[str]:
    """What runs a program some days after a day in the past."""
    return shifted(f"{number - 100:+d}d")


def note(scene: Scene) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((scene.home / ".snapmirror" / "read-back.json").read_bytes())
    return found


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Scene]:
    """A store in an image, with an XFS."""
    scene = Scene(tmp_path, image={"file": str(tmp_path / "disk"), "size": "512M", "encryption": "none"})
    scene.sections["report"] = {"metrics_file": str(tmp_path / "metrics")}
    scene.configure(verify={"read_all_within_days": DAYS})
    initialise(load(scene.config), workload=TINY)
    yield scene
    assert scene.leftovers() == []
    scene.release()


def flip(disk: Path, data: bytes) -> None:
    """One bit of a file, on the closed disk."""
    with open(disk, "r+b") as file, mmap.mmap(file.fileno(), 0) as whole:
        place = whole.find(data)
        assert place >= 0 and whole.find(data, place + 1) < 0, "the content lies on the disk once"
        whole[place + len(data) // 2] ^= 4


def metrics(scene: Scene) -> dict[str, float]:
    text = (scene.folder / "metrics").read_text()
    found = re.findall(r"^snapmirror_read_back_(\w+)\{.*\} (.*)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_bits_that_flip_on_the_disk_are_found_in_time(image: Scene, figures: Figures) -> None:
    rng = random.Random("flips")
    contents = {f"folder {number % 7}/file {number}": rng.randbytes(4096) for number in range(120)}
    for name, data in contents.items():
        put(image.source / name, data)
    os.link(image.source / "folder 1/file 1", image.source / "another name")
    for day in range(3):
        put(image.source / "changing", b"of day %d" % day)
        assert image.command("run", "--json", under=on_day(day)).exit_code == 0
    hit = rng.sample(sorted(contents), FLIPS)
    for name in hit:
        flip(image.folder / "disk", contents[name])
    found: dict[str, int] = {}
    ids: list[str] = []
    for day in range(3, 3 + DAYS):
        put(image.source / "changing", b"of day %d" % day)
        result = image.command("run", "--json", under=on_day(day))
        assert result.mirror["result"] == "published" and result.exit_code in (0, 3), str(result)
        told = {name: text for text in result.mirror["warnings"] for name in hit if f" {name}:" in text}
        ids = [*ids, result.mirror["snapshot"]][-3:]
        for text in told.values():
            assert text.startswith("DAMAGE: content: ") and all(one in text for one in ids), text
        if len(hit) <= 10:  # not more are named
            assert found.keys() <= told.keys(), "what is damaged is told every night"
            assert (result.exit_code == 3) == bool(told), str(result)
        known = result.mirror["read_back"]["damaged"]
        assert metrics(image)["damaged_files"] == known
        found |= {name: day for name in told if name not in found}
    assert known >= len(hit), "a name more, if it is one of two"
    assert len(hit) > 10 or sorted(found) == sorted(hit)
    assert metrics(image)["behind_seconds"] == 0

    status = image.command("status", "--json", under=on_day(day))
    [mirror] = status.json["mirrors"]
    assert (status.exit_code, mirror["damaged_files"], mirror["read_back_behind_seconds"]) == (3, known, 0)
    assert 0 <= mirror["read_back_share"] < 1 and mirror["read_back_completed_at"] is not None
    assert any("verify --found --heal" in finding for finding in status.json["findings"])
    for words in (["status"], ["list"]):
        shown = image.command(*words, under=on_day(day))
        assert "of this pass read back, the last full pass completed" in shown.stdout + shown.stderr
        assert "known" in shown.stdout + shown.stderr

    verified = image.command("verify", "--full", "--json")
    assert verified.exit_code == 14
    findings = verified.json["mirrors"][0]["findings"]
    assert {finding["path"] for finding in findings} - {"another name"} == set(hit)
    again = image.command("verify", "--found", "--json")
    assert again.exit_code == 14
    report = again.json["mirrors"][0]
    assert {finding["path"] for finding in report["findings"]} - {"another name"} == set(hit)
    assert report["files_read"] == len(hit), "nothing else is read"
    assert all(finding["snapshots"] == ids[::-1] for finding in report["findings"]), "each snapshot once"
    assert image.command("verify", "--found", "--heal").exit_code == 3
    listed = image.command("list", under=on_day(day))
    assert "known" not in listed.stdout + listed.stderr, "it need not wait for the next night"
    assert metrics(image)["damaged_files"] == 0
    status = image.command("status", "--json", under=on_day(day))
    assert (status.exit_code, status.json["mirrors"][0]["damaged_files"]) == (3, 0), "the night had its warnings"
    assert not any("--heal" in finding for finding in status.json["findings"])
    nothing = image.command("verify", "--found")
    assert nothing.exit_code == 0
    assert nothing.stdout == "known damage, 0 files read back (0 B): no damage\n"
    result = image.command("run", "--json", under=on_day(day + 1))
    assert (result.exit_code, result.mirror["read_back"]["damaged"]) == (0, 0), str(result)
    assert image.command("verify", "--full").exit_code == 0
    assert image.command("status", under=on_day(day + 1)).exit_code == 0
    figures.add(f"read back: {len(hit)} bits flipped on a disk, all found within {DAYS} nights, 0 lost")


def test_every_inode_that_is_stored_has_its_turn(scene: Scene) -> None:
    """Links are regrouped, types change, files come back, snapshots expire and are pinned: each inode is drawn."""
    rng = random.Random("turns")
    scene.configure(keep_last=4)
    tree = Tree(scene.source)
    tree.grow(random_kinds(rng, 40))
    for night in range(12):
        tree.settle()
        result = scene.night(*(["--full"] if night % 5 == 4 else []))
        tree.published()
        if night == 3:
            assert scene.command("pin", result.mirror["snapshot"]).exit_code == 0
        history, report = HardlinkHistory(scene.home), Report("web")
        drawn = {
            os.lstat(join(os.fsencode(history.tree(one.snapshot)), one.path)).st_ino
            for one in names(history, draw(history, 0, WHOLE, 1_000_000), report)
        }
        stored = {
            status.st_ino
            for slot in scene.slots().values()
            for folder, _, files in os.walk(os.fsencode(slot))
            for file in files
            if stat.S_ISREG((status := os.lstat(os.path.join(folder, file))).st_mode) and status.st_size
        }
        assert (drawn, report.findings) == (stored, [])
        live_a_day(tree, [*((name, rng.getrandbits(16)) for name in REGROUPED), *random_changes(rng, 8)])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """One snapshot of many files, nothing of which has been read."""
    scene = Scene(tmp_path_factory.mktemp("many"))
    scene.configure(verify={"read_all_within_days": 0})
    for number in range(MANY):
        put(scene.source / str(number // 1000) / str(number), b"%d" % number)
    scene.night()
    return scene


def copy_of(many: Scene, folder: Path) -> Scene:
    subprocess.run(["cp", "--archive", f"{many.folder}/.", folder], check=True)
    scene = Scene(folder)
    scene.configure(verify={"read_all_within_days": 2})  # a day takes all
    return scene


def test_killed_while_it_reads(many: Scene, tmp_path: Path, figures: Figures) -> None:
    first = copy_of(many, tmp_path / "first")
    calls = ["rename", "fsync"]
    points, whole = crash.points(first, calls, "--json")
    assert whole.mirror["read_back"]["files"] == MANY
    assert note(first)["completed"] is not None
    late = points[-11:]  # three notes of the reading, each a rename between two flushes, and two reports
    interrupted = 0
    chosen = late if LONG else crash.spread(late, 4)
    for number, point in enumerate(chosen):
        scene = copy_of(many, tmp_path / str(number))
        killed = crash.killed_at(scene, point, "--json")
        assert killed.exit_code in KILLED, f"{point}: {killed}"
        scene.kill_processes()
        assert not scene.processes()
        assert len(scene.published()) == 2, f"{point}: the snapshot is published before anything is read back"
        before = note(scene) if (scene.home / ".snapmirror" / "read-back.json").exists() else {"place": "0" * 16}
        trees = [fingerprint(tree) for tree in scene.slots().values()]
        result = scene.command("run", "--json")
        assert (result.exit_code, result.mirror["warnings"]) == (0, []), f"{point}: {result}"
        if int(before["place"], 16):
            interrupted += 1
            assert result.mirror["read_back"]["files"] < MANY, f"{point}: it began anew"
        after = scene.command("run", "--json", under=shifted("+1d"))
        assert (after.exit_code, after.mirror["warnings"]) == (0, []), f"{point}: {after}"
        assert note(scene)["completed"] is not None
        for tree, mark in zip(list(scene.slots().values())[-2:], trees, strict=True):
            assert compare(mark, fingerprint(tree)) == []
    assert interrupted, "no kill came between two notes"
    figures.add(f"read back: {len(chosen)} kills while a night reads, {interrupted} between two stretches, 0 lost")


def test_stopped_while_it_reads_the_night_is_published(many: Scene, tmp_path: Path) -> None:
    first = copy_of(many, tmp_path / "first")
    points, _ = crash.points(first, ["rename"], "--json")
    notes = [point for point in points if point.call == "rename"][-3:]
    scene = copy_of(many, tmp_path / "second")
    result = crash.killed_at(scene, notes[0], "--json", signal="SIGTERM")
    assert result.exit_code == 143, str(result)
    [snapshot, _] = scene.published()
    status = scene.command("status", "--json")
    [mirror] = status.json["mirrors"]
    assert (mirror["result"], mirror["snapshot"]) == ("published", snapshot)
    scene.night()
    assert scene.leftovers() == []


def test_a_note_that_is_damaged_begins_anew_and_says_so(many: Scene, tmp_path: Path) -> None:
    scene = copy_of(many, tmp_path)
    scene.configure(verify={"read_all_within_days": 1000})
    scene.night()
    path = scene.home / ".snapmirror" / "read-back.json"
    path.write_bytes(path.read_bytes()[:-20])
    result: Result = scene.night(expect=[3])
    [warning] = result.mirror["warnings"]
    assert "read-back.json" in warning and "anew" in warning
    assert result.mirror["read_back"]["files"] > 0
    assert scene.night().mirror["warnings"] == []
    assert datetime.strptime(note(scene)["until"], "%Y-%m-%dT%H%M%SZ")
