"""Which image takes a good copy's place, and what stays of the copy that was there."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.copying import WHOLE, Copying, by_hand, sum_of
from tests.support.full import small_volume
from tests.support.storage import copy_image, stack_image

HEADER = 2 << 20  # of LUKS1


@pytest.fixture
def copying(tmp_path: Path) -> Iterator[Copying]:
    made = Copying(tmp_path / "scene")
    try:
        yield made
        assert made.scene.leftovers() == []
    finally:
        made.scene.release()


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Copying]:
    (tmp_path / "key").mkdir()
    image = stack_image(tmp_path / "key", "luks1", "ext4")
    made = Copying(tmp_path / "scene", image)
    try:
        yield made
        assert made.scene.leftovers() == []
    finally:
        made.scene.release()


def test_a_ruined_image_takes_no_good_copys_place(encrypted: Copying) -> None:
    """The header is as it was, what it decrypts is rubbish; by hand, and after a night that could not be."""
    scene = encrypted.scene
    scene.night()
    encrypted.report()
    assert encrypted.report()["result"] == "unchanged", "looking into the image changes nothing in it"
    good, whole = sum_of(encrypted.copy), encrypted.image.with_name("whole")
    copy_image(encrypted.image, whole)
    with encrypted.image.open("r+b") as file:
        file.seek(HEADER)
        file.write(random.Random(1).randbytes(64 << 20))
    for words in ((), ("--full",), ("--dry-run",), ("--accept-changes",)):
        refused = encrypted.copying(*words)
        assert refused.exit_code == 11, str(refused)
        assert sum_of(encrypted.copy) == good
    assert "the last copy of the image failed" in scene.command("status").stdout
    scene.sections["copy"] = {"destination": str(encrypted.disk), "after_night": True}
    scene.configure()
    scene.night(expect=(11,))
    assert sum_of(encrypted.copy) == good
    copy_image(whole, encrypted.image)
    assert scene.night().json["copy"]["error"] is None
    assert sum_of(encrypted.copy) == sum_of(encrypted.image)


def test_a_snapshot_or_a_manifest_that_is_missing_in_the_image_is_seen(copying: Copying) -> None:
    copying.scene.night()
    copying.report()
    good, whole = sum_of(copying.copy), copying.image.with_name("whole")
    copy_image(copying.image, whole)
    for path in ("backup.1", ".snapmirror/manifests"):
        with copying.writing() as store:
            (store / "web" / path).rename(store / "web" / "away")
        refused = copying.copying()
        assert refused.exit_code in {11, 14}, str(refused)
        assert sum_of(copying.copy) == good
        copy_image(whole, copying.image)
    assert copying.copying().exit_code == 0


def test_an_older_image_is_not_copied_until_that_is_accepted_and_the_newer_copy_can_be_had_back(
    copying: Copying,
) -> None:
    copying.scene.night()
    older = copying.image.with_name("older")
    copy_image(copying.image, older)
    copying.write("file1")
    copying.scene.night()
    copying.report()
    good = sum_of(copying.copy)
    copy_image(older, copying.image)
    for words in ((), ("--dry-run",)):
        refused = copying.copying(*words)
        assert (refused.exit_code, "--accept-changes" in refused.stderr) == (13, True), str(refused)
    copying.scene.sections["copy"] = {"destination": str(copying.disk), "after_night": True}
    copying.scene.configure()
    night = copying.scene.night(expect=(13,))
    assert "the last one made here is" in night.json["copy"]["error"]
    assert sum_of(copying.copy) == good
    assert copying.report("--accept-changes")["result"] == "updated"
    assert sum_of(copying.copy) == sum_of(copying.image)
    assert sum_of(by_hand(copying.disk, *copying.former())) == good
    assert copying.copying().exit_code == 13, "it was accepted once"


def test_so_many_generations_are_kept_and_each_can_be_had_back(copying: Copying) -> None:
    scene, keep = copying.scene, 3
    scene.sections["copy"] = {"destination": str(copying.disk), "keep": keep}
    scene.configure()
    generations: list[str] = []
    for number in range(4):
        copying.write(f"file{number}", 300_000)
        scene.night()
        report = copying.report()
        assert report["former"] == len(copying.former()) == min(number, keep - 1)
        assert copying.names() == WHOLE
        generations.insert(0, sum_of(copying.copy))
    assert copying.report()["former"] == keep - 1, "a copying with nothing to do keeps them"
    assert len(set(generations)) == 4
    for wanted in range(1, keep):
        assert sum_of(by_hand(copying.disk, *copying.former()[:wanted])) == generations[wanted]
    scene.sections["copy"]["keep"] = 1
    scene.configure()
    assert copying.report()["former"] == 0
    assert not [path for path in copying.disk.iterdir() if ".former." in path.name]


def test_where_there_is_no_room_the_copy_comes_first(copying: Copying, tmp_path: Path) -> None:
    copying.scene.night()
    with small_volume(tmp_path / "small", 120) as volume:
        copying.disk = volume / "on-it"
        copying.disk.mkdir()
        copying.report()
        with copying.copy.open("r+b") as file:  # so much is replaced, and next to nothing is written
            file.seek(300 << 20)
            file.write(random.Random(1).randbytes(20 << 20))
        status = os.statvfs(volume)
        (volume / "filler").write_bytes(bytes(status.f_bavail * status.f_frsize - (26 << 20)))
        told = copying.report(code=3)
        assert (told["result"], told["former"], copying.former()) == ("updated", 0, [])
        assert "no room for 20.0 MiB" in str(told["warnings"])
        assert sum_of(copying.copy) == sum_of(copying.image)
    assert "no room for 20.0 MiB" in copying.scene.command("status").stdout


def test_a_generation_that_does_not_belong_to_the_copy_is_removed(copying: Copying) -> None:
    copying.scene.night()
    copying.report()
    copying.write("file1")
    copying.scene.night()
    copying.report()
    [stem] = copying.former()
    path = copying.disk / f"{stem}.update.list"
    head, *lines = path.read_text().splitlines()
    for rubbish in ("", "{", "[]", json.dumps({**json.loads(head), "of": "0" * 64})):
        path.write_text("\n".join([rubbish, *lines]))
        copying.report()
        assert copying.former() == []
        assert not [one for one in copying.disk.iterdir() if ".former." in one.name]
        (copying.disk / f"{stem}.update").write_bytes(b"left over")
    copying.report()
    assert not [one for one in copying.disk.iterdir() if ".former." in one.name]
