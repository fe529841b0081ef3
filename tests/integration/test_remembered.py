"""Damage that any verification finds is known to all who are asked afterwards, until it is healed or gone."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from snapmirror.tools.mount import mount_at
from tests.conftest import Figures
from tests.support import crash
from tests.support.clock import shifted
from tests.support.files import flip, put
from tests.support.fingerprint import compare, fingerprint
from tests.support.runner import LONG, Result, Scene
from tests.support.storage import TINY

LOOSE = {"max_deleted": "100%", "max_changed": "100%", "max_lost": "100%", "max_scrambled": "100%"}


def prepared(scene: Scene, **verify: object) -> Scene:
    """Two snapshots that share two files, and metrics."""
    scene.sections["report"] = {"metrics_file": str(scene.folder / "metrics")}
    scene.configure(verify={"read_all_within_days": 0, **verify})
    put(scene.source / "file", b"content " * 100)
    put(scene.source / "folder" / "other", b"another " * 100)
    for _ in range(2):
        scene.night()
    return scene


def known(scene: Scene) -> int:
    """How many damaged files `status`, `list` and the metrics know; they agree."""
    status = scene.command("status", "--json")
    [mirror] = status.json["mirrors"]
    number = mirror["damaged_files"] or 0
    told = [one for one in status.json["findings"] if "stored; 'snapmirror verify --found" in one]
    assert len(told) == (number > 0) and (status.exit_code == 3 or not number), str(status)
    text = str(scene.command("status"))
    assert all(int(one) == number for one in re.findall(r"(\d+) damaged files? known", text)), text
    listed = scene.command("list")
    shown = re.search(r"(\d+) damaged files? known", listed.stderr + listed.stdout)
    assert (int(shown[1]) if shown else 0) == number, str(listed)
    metrics = (scene.folder / "metrics").read_text()
    metric = re.search(r'^snapmirror_read_back_damaged_files\{mirror="web"\} (.*)$', metrics, re.MULTILINE)
    assert (float(metric[1]) if metric else 0) == number, metrics
    return int(number)


def verify(scene: Scene, *words: str, expect: int) -> list[tuple[str, Any, list[str]]]:
    """Kind, path and snapshots of what it finds."""
    result = scene.command("verify", "--json", *words)
    assert result.exit_code == expect, str(result)
    [mirror] = result.json["mirrors"]
    assert not [one for one in mirror["unchecked"] if "without a checksum" not in one], "nothing went wrong"
    return [(one["kind"], one.get("path"), one["snapshots"]) for one in mirror["findings"]]


def test_what_verify_finds_is_known_and_forgotten_once_it_is_healed(scene: Scene) -> None:
    prepared(scene)
    mark = fingerprint(scene.slots()[1])
    flip(scene.slots()[1] / "file")
    assert known(scene) == 0
    found = [("content", "file", list(scene.published()))]
    assert verify(scene, "newest", "--full", expect=14) == found
    assert known(scene) == 1
    quick = scene.command("verify")
    assert quick.exit_code == 0 and "1 damaged file known from before" in quick.stderr, "it does not look at contents"
    assert known(scene) == 1, "so it forgets nothing"
    assert verify(scene, "--found", expect=14) == found
    assert known(scene) == 1
    told = scene.night(expect=[3]).mirror["warnings"]
    assert len(told) == 1 and told[0].startswith("DAMAGE: content: file: "), told
    assert known(scene) == 1
    assert "1 damaged file known in its history" in scene.command("doctor").stdout
    verify(scene, "--found", "--heal", expect=3)
    assert known(scene) == 0
    assert compare(mark, fingerprint(scene.slots()[2])) == []
    assert verify(scene, "--found", expect=0) == []
    scene.night()
    assert scene.command("status").exit_code == 0


def test_verify_heal_leaves_nothing_to_remember_but_what_it_could_not_heal(scene: Scene) -> None:
    prepared(scene)
    for name in ("file", "folder/other"):
        flip(scene.slots()[1] / name)
    put(scene.source / "file", b"changed meanwhile")
    verify(scene, "--heal", expect=14)
    assert known(scene) == 1
    assert [one[:2] for one in verify(scene, "--found", expect=14)] == [("content", "file")]


def test_names_and_attributes_are_remembered_as_well(scene: Scene) -> None:
    prepared(scene)
    newest, older = scene.slots()[1], scene.slots()[2]
    mode, times = (newest / "file").stat().st_mode, (older / "folder").stat()
    os.chmod(newest / "file", 0o777)
    (older / "folder" / "planted").write_bytes(b"")
    os.utime(older / "folder", ns=(times.st_atime_ns, times.st_mtime_ns))
    found = verify(scene, expect=14)
    assert {one[:2] for one in found} == {("mode", "file"), ("extra", "folder/planted")}
    assert known(scene) == 2
    assert verify(scene, "--found", expect=14) == found
    told = scene.night(expect=[3]).mirror["warnings"]
    assert {one.split(":")[1].strip() for one in told} == {"mode", "extra"} and len(told) == 2, told
    assert known(scene) == 2, "a night does not look at names: nobody is to believe that they are well"
    older = scene.slots()[3]
    os.chmod(older / "file", mode)
    (older / "folder" / "planted").unlink()
    os.utime(older / "folder", ns=(times.st_atime_ns, times.st_mtime_ns))
    verify(scene, "newest", expect=0)
    assert known(scene) == 2, "the other snapshots may have it still"
    assert verify(scene, "--found", expect=0) == []
    assert known(scene) == 0


def test_records_that_are_damaged_are_remembered(scene: Scene) -> None:
    prepared(scene)
    sums = min((scene.home / ".snapmirror" / "sums").glob("*.zst"), key=lambda path: int(path.stem))
    whole = sums.read_bytes()
    sums.unlink()
    assert {one[0] for one in verify(scene, "--full", expect=14)} == {"checksums"}
    assert known(scene) == 1
    assert {one[0] for one in verify(scene, "--found", expect=14)} == {"checksums"}
    verify(scene, expect=0)
    assert known(scene) == 1
    sums.write_bytes(whole)
    verify(scene, "--found", expect=0)
    assert known(scene) == 0


@pytest.mark.parametrize("how", ["forget", "purge", "expire", "retire"])
def test_what_is_gone_is_forgotten(scene: Scene, how: str) -> None:
    prepared(scene)
    put(scene.source / "file", b"of the third night")
    scene.configure(keep_last=2, verify={"read_all_within_days": 0})
    flip(scene.slots()[1] / "file")
    scene.night()  # the damaged file is in the second snapshot, and no longer in the newest
    os.chmod(scene.slots()[2] / "file", 0o777)
    assert {one[:2] for one in verify(scene, "--full", expect=14)} == {("content", "file"), ("mode", "file")}
    assert known(scene) == 1, "one file"
    if how == "forget":
        assert scene.command("forget", list(scene.published())[1], "--yes").exit_code == 0
    elif how == "purge":
        assert scene.command("purge", "file", "--from-history", "--yes").exit_code == 0
    elif how == "retire":
        assert scene.command("retire", "web", "--accept-changes", "--yes").exit_code == 0
    else:
        scene.night()
        scene.night()
    assert known(scene) == 0
    assert not list(scene.state.glob("*.damage.json"))


def test_a_verification_changes_nothing_in_the_store(scene: Scene) -> None:
    prepared(scene)
    flip(scene.slots()[1] / "file")
    os.chmod(scene.slots()[1] / "folder" / "other", 0o777)
    mark = fingerprint(scene.home)
    verify(scene, "--full", expect=14)
    verify(scene, "--found", expect=14)
    assert known(scene) == 2
    assert compare(mark, fingerprint(scene.home)) == []
    scene.night(expect=[3])
    note = json.loads((scene.home / ".snapmirror" / "read-back.json").read_bytes())
    assert len(note["damaged"]) == 2, "the night has taken it along, to where the store goes"
    assert not list(scene.state.glob("*.damage.json"))
    assert known(scene) == 2


def test_what_somebody_else_has_found_meanwhile_holds_as_well(scene: Scene) -> None:
    """Another machine's night, which does not see the notes of this one, finds another file."""
    prepared(scene)
    flip(scene.slots()[1] / "file")
    verify(scene, "--full", expect=14)
    [notes] = scene.state.glob("*.damage.json")
    kept = notes.read_bytes()
    notes.unlink()
    flip(scene.slots()[1] / "folder" / "other")
    flip(scene.slots()[1] / "file")  # is well again
    verify(scene, "--full", expect=14)
    scene.night(expect=[3])
    flip(scene.slots()[2] / "file")
    notes.write_bytes(kept)
    assert [one[1] for one in verify(scene, "--found", expect=14)] == ["file", "folder/other"]
    assert known(scene) == 2


def test_in_an_image_as_well(tmp_path: Path) -> None:
    """Also one that is mounted for browsing, and stays so."""
    scene = Scene(tmp_path, image={"file": str(tmp_path / "disk"), "size": "512M", "encryption": "none"})
    scene.configure()
    initialise(load(scene.config), workload=TINY)
    disk, large = scene.folder / "disk", random.Random("large").randbytes(32 << 20)
    put(scene.source / "large", large)
    try:
        prepared(scene)
        whole = disk.read_bytes()
        for content in (b"content " * 100, large[:4096]):
            place = whole.find(content)
            assert place >= 0
            with open(disk, "r+b") as file:
                file.seek(place + 5)
                file.write(b"X")
        scene.command("mount")
        verify(scene, "--full", expect=14)
        assert known(scene) == 2
        assert mount_at(scene.store) is not None
        scene.command("umount")
        assert len(verify(scene, "--found", expect=14)) == 2
        left = json.loads(scene.command("status", "--json").stdout)["store_free_bytes"]
        guard = {**LOOSE, "min_free": str(left - (16 << 20))}
        scene.configure(guard=guard, verify={"read_all_within_days": 0, "heal": "auto"})
        told = scene.night(expect=[3]).mirror["warnings"]
        assert len(told) == 2 and all("; NOT healed: " in one and "min_free" in one for one in told), told
        assert known(scene) == 2, "no night fills the store by healing"
        assert scene.command("verify", "--found", "--heal").exit_code == 3
        assert known(scene) == 0
        assert scene.leftovers() == []
    finally:
        scene.release()


@pytest.fixture
def reading(scene: Scene) -> Iterator[Scene]:
    """Every night reads all, and heals."""
    prepared(scene, read_all_within_days=1, heal="auto")
    yield scene


def night(scene: Scene, day: int, *words: str) -> Result:
    return scene.command("run", "--json", *words, under=shifted(f"+{day}d"))


def test_a_night_heals_what_it_has_found(reading: Scene) -> None:
    mark = fingerprint(reading.slots()[1])
    flip(reading.slots()[1] / "file")
    result = night(reading, 1)
    [told] = result.mirror["warnings"]
    assert result.exit_code == 3 and result.mirror["result"] == "published", str(result)
    assert told.startswith("DAMAGE: content: file: ") and told.endswith(f"; healed, from the source {reading.source}")
    assert result.mirror["read_back"]["damaged"] == 0
    slots = reading.slots()
    for slot in slots.values():
        assert (slot / "file").read_bytes() == b"content " * 100
    assert compare(mark, fingerprint(slots[2])) == []
    assert known(reading) == 0
    again = night(reading, 2)
    assert (again.exit_code, again.mirror["warnings"]) == (0, []), str(again)


def test_what_cannot_be_healed_is_told_each_night(reading: Scene) -> None:
    flip(reading.slots()[1] / "file")
    put(reading.source / "file", b"changed meanwhile")
    for day in (1, 2):
        result = night(reading, day)
        [told] = result.mirror["warnings"]
        assert result.exit_code == 3 and "; NOT healed: no snapshot has a good copy" in told, told
        assert known(reading) == 1


def test_a_source_that_is_away_takes_nothing_from_the_night(reading: Scene) -> None:
    """It goes while the night reads: all that is lost is the healing."""
    flip(reading.slots()[1] / "file")
    real = "/usr/bin/rsync"
    reading.fake_program(
        "rsync",
        f"""#!/bin/sh
case "$*" in *--dry-run*--files-from=*) echo "rsync: it is away" >&2; exit 10;; esac
exec {real} "$@"
""",
    )
    result = night(reading, 1)
    [told] = result.mirror["warnings"]
    assert (result.exit_code, result.mirror["result"]) == (3, "published"), str(result)
    assert "; NOT healed: no snapshot has a good copy, and the source could not be reached: " in told, told
    assert known(reading) == 1
    (reading.programs / "rsync").unlink()
    assert night(reading, 1).mirror["warnings"][0].endswith(f"; healed, from the source {reading.source}")
    assert known(reading) == 0


def test_killed_while_a_night_heals(reading: Scene, tmp_path_factory: pytest.TempPathFactory, figures: Figures) -> None:
    """The night is published, each file is the damaged or the healed one, and the next night completes it."""
    good = fingerprint(reading.slots()[1])
    for name in ("file", "folder/other"):
        flip(reading.slots()[1] / name)
    verify(reading, "--full", expect=14)
    reading.configure(verify={"read_all_within_days": 0, "heal": "off"})
    reading.night(expect=[3])  # the store knows of it
    ids = list(reading.published())
    folder = tmp_path_factory.mktemp("copies")

    def copy(name: str) -> Scene:
        subprocess.run(["cp", "--archive", f"{reading.folder}/.", folder / name], check=True)
        scene = Scene(folder / name)
        scene.sections["report"] = {"metrics_file": str(scene.folder / "metrics")}
        scene.configure(verify={"read_all_within_days": 0, "heal": "auto"})
        return scene

    calls = [*crash.RENAMES, *crash.FLUSHES]
    found, whole = crash.points(first := copy("first"), calls, "--json")
    assert whole.exit_code == 3 and all("; healed" in one for one in whole.mirror["warnings"]), str(whole)
    assert known(first) == 0
    late, tried = found[-40:], 0
    for number, point in enumerate(late if LONG else crash.spread(late, 6)):
        scene = copy(str(number))
        crash.killed_at(scene, point, "--json")
        scene.kill_processes()
        assert list(scene.published()) != ids, f"{point}: the snapshot is published before anything is healed"
        now = fingerprint(scene.slots()[1])
        sick = [path for path in now if now[path].content != good[path].content]
        assert {os.fsdecode(path) for path in sick} <= {"file", "folder/other"}, str(point)
        tried += bool(sick)
        told = scene.command("run", "--json")
        assert told.exit_code in (0, 3) and not any("NOT" in one for one in told.mirror["warnings"]), f"{point}: {told}"
        assert known(scene) == 0, str(point)
        assert scene.command("verify", "--full").exit_code == 0, str(point)
        for slot in scene.slots().values():
            assert compare(good, fingerprint(slot)) == [], str(point)
    assert tried, "no kill came before all was healed"
    figures.add(f"kills while a night heals: {tried} before all was healed, 0 files lost")


def test_what_verify_has_found_is_healed_by_the_night(reading: Scene) -> None:
    slot = reading.slots()[1]
    mode = (slot / "file").stat().st_mode
    os.chmod(slot / "file", 0o777)
    verify(reading, expect=14)
    result = night(reading, 1)
    [told] = result.mirror["warnings"]
    assert result.exit_code == 3 and "DAMAGE: mode: file: " in told and "; healed, from " in told, told
    assert {one.joinpath("file").stat().st_mode for one in reading.slots().values()} == {mode}
    assert known(reading) == 0


def test_without_being_told_to_a_night_heals_nothing(scene: Scene) -> None:
    prepared(scene, read_all_within_days=1)
    flip(scene.slots()[1] / "file")
    damaged = (scene.slots()[1] / "file").read_bytes()
    [told] = night(scene, 1).mirror["warnings"]
    assert told.endswith("'snapmirror verify --found --heal' mends what it can")
    assert (scene.slots()[2] / "file").read_bytes() == damaged


def test_a_note_of_an_older_version_is_read(scene: Scene) -> None:
    """It knows of no kinds: all that it names are files to be read."""
    prepared(scene)
    flip(scene.slots()[1] / "file")
    verify(scene, "--full", expect=14)
    scene.night(expect=[3])
    path = scene.home / ".snapmirror" / "read-back.json"
    note = json.loads(path.read_bytes())
    for one in note["damaged"]:
        for name in ("kind", "detail", "snapshots"):
            del one[name]
    path.write_text(json.dumps(note))
    assert [one[:2] for one in verify(scene, "--found", expect=14)] == [("content", "file")]
    assert known(scene) == 1
