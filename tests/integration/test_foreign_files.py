"""Root makes files beside others': on a disk or share that somebody else has had, and in folders of other users.

Whatever is put there in their places is not written through, nothing waits for it, and a sentence names it.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.copying import WHOLE, Copying, sum_of, whole_copy
from tests.support.planted import KINDS, Victims, remove
from tests.support.runner import LONG, Scene

SOMEBODY = 12345
DONE = {0, 3}
# every name that copying has, or had, beside the copy
PLACES = (
    "store.img", "store.img.json", "store.img.sums", "store.img.incomplete", "store.img.update",
    "store.img.update.list", "store.img.json.new", "store.img.sums.new", "store.img.update.list.new", "store.img.lock",
)  # fmt: skip


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copying]:
    made = Copying(tmp_path_factory.mktemp("foreign") / "scene")
    try:
        made.scene.night()
        made.report()
        shutil.copytree(made.disk, made.disk.with_name("good"), copy_function=whole_copy)
        made.write("file1")
        made.scene.night()
        yield made
        assert made.scene.leftovers() == []
    finally:
        made.scene.release()


def cases() -> list[tuple[str, str, bool]]:
    every = [(place, kind, whole) for place in PLACES for kind in KINDS for whole in (True, False)]
    return every if LONG else [random.Random(place).choice([c for c in every if c[0] == place]) for place in PLACES]


CASES = sorted({
    *cases(),
    ("store.img.incomplete", "link to a file", False),  # the image was written through it
    ("store.img.incomplete", "hard link", False),
    ("store.img.sums.new", "link to a file", True),
    ("store.img.json.new", "link to a file", False),
})  # fmt: skip


@pytest.mark.parametrize(("place", "kind", "whole"), CASES)
def test_nothing_on_the_disk_leads_a_copy_elsewhere(
    copying: Copying, tmp_path: Path, place: str, kind: str, whole: bool
) -> None:
    """`whole`: there is a good copy on the disk; else one that was interrupted when it had only its record."""
    good = copying.disk.with_name("good")
    remove(copying.disk)
    shutil.copytree(good, copying.disk, copy_function=whole_copy)
    if not whole:
        for name in WHOLE - {"store.img.json"}:
            (copying.disk / name).unlink()
    if place == "store.img.json.new":  # the record is written only where there is none
        remove(copying.disk)
        copying.disk.mkdir()
    victims = Victims(tmp_path / "victims")
    victims.plant(copying.disk / place, kind)

    result = copying.copying()
    assert result.exit_code in DONE | {11, 14}, str(result)
    if kind != "hard link" or (copying.disk / place).exists():
        victims.check(f"{place} as {kind}: {result}")
    assert "not-ours" in victims.file.read_text(), str(result)
    if result.exit_code in DONE:
        status = copying.copy.lstat()
        assert (sum_of(copying.copy), copying.copy.is_symlink()) == (sum_of(copying.image), False)
        assert (status.st_nlink, status.st_uid) == (1, os.geteuid())


def test_somebody_elses_file_is_not_filled(copying: Copying) -> None:
    """He would keep it open, and read what comes into it."""
    remove(copying.disk)
    copying.disk.mkdir()
    shutil.copy(copying.disk.with_name("good") / "store.img.json", copying.disk)
    incomplete = copying.disk / "store.img.incomplete"
    incomplete.touch()
    os.chown(incomplete, SOMEBODY, SOMEBODY)
    result = copying.copying()
    assert result.exit_code == 11, str(result)
    assert f"belongs to the user {SOMEBODY}" in result.stderr
    assert incomplete.stat().st_size == 0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "scene")
    (made.source / "file").write_text("ours")
    try:
        yield made
    finally:
        made.release()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
def test_reports_in_somebody_elses_folder(scene: Scene, tmp_path: Path, kind: str) -> None:
    folder, victims = tmp_path / "reports", Victims(tmp_path / "victims")
    folder.mkdir()
    scene.sections["report"] = {"json_file": str(folder / "last.json"), "metrics_file": str(folder / "metrics")}
    scene.configure()
    for name in ("last.json", "metrics", ".last.json.new"):
        victims.plant(folder / name, kind)
    for path in (folder, *folder.iterdir()):
        if kind != "hard link" or path == folder:
            os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)
    scene.night()
    if kind != "hard link":
        victims.check(kind)
    assert "not-ours" in victims.file.read_text()
    for name in ("last.json", "metrics"):
        status = (folder / name).lstat()
        assert (folder / name).is_file() and (status.st_uid, status.st_nlink) == (os.geteuid(), 1)


def test_a_report_does_not_go_through_somebody_elses_link(scene: Scene, tmp_path: Path) -> None:
    victims, link = Victims(tmp_path / "victims"), tmp_path / "reports"
    link.symlink_to(victims.tree)
    os.chown(link, SOMEBODY, SOMEBODY, follow_symlinks=False)
    for option in ("json_file", "metrics_file"):
        scene.sections["report"] = {option: str(link / "last")}
        scene.configure()
        result = scene.night(expect=(3,))
        assert "symlink 'reports' of another user" in result.stdout, str(result)
        victims.check(option)
    os.chown(link, 0, 0, follow_symlinks=False)
    scene.night()
    assert (victims.tree / "last").is_file()
