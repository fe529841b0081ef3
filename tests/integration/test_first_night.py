"""A first night is one recursive run: what arrives is what was listed, whatever changes on the source in between.

The source changes after the listing and before the transfer. What is published is then the source as it is by now,
without names that were not listed; what the record says of it is what is on the disk; the next night is right.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import fake_rsync
from tests.support.files import put
from tests.support.fingerprint import Fingerprint, compare, fingerprint
from tests.support.runner import History, Scene

BIG = 1 << 20
WHEN = 1_500_000_000
CHANGES: dict[str, tuple[str, int]] = {
    "a new file": ("echo new > d/new", 0),
    "a new folder": ("mkdir -p d/new/er; echo new > d/new/er/file", 0),
    "a new big file": ("truncate --size=3M d/new", 0),
    "a new first name of a file": ("ln d/b d/a", 0),
    "a new name of a group": ("ln d/h1 a/new", 0),
    "a new first name of a group": ("ln d/h1 a/a", 0),
    "a file gone": ("rm d/b", 3),
    "a folder gone": ("rm -r d/deep", 3),
    "a name of a group gone": ("rm d/h2", 3),
    "the first name of a group gone": ("rm d/h1", 3),
    "a file rewritten": ("echo other > d/b", 0),
    "a file longer": ("echo more >> d/b", 0),
    "a file that is big by now": ("truncate --size=2M d/b", 0),
    "a big file that is small by now": ("echo small > d/big", 0),
    "two files that are one by now": ("ln -f d/b d/c", 0),
    "a file that is one of a group by now": ("ln -f d/h1 d/b", 0),
    "a group that are two files by now": ("cp d/h1 t; mv t d/h2", 0),
    "a file for a folder": ("rm -r d/deep; echo file > d/deep", 3),
    "a folder for a file": ("rm d/b; mkdir d/b; echo inside > d/b/inside", 3),
    "a symlink for a file": ("rm d/b; ln -s c d/b", 3),
    "a symlink for a folder": ("rm -r d/deep; ln -s ../a d/deep", 3),
    "a file for a symlink": ("rm d/link; echo file > d/link", 3),
    "another target": ("ln -sf b d/link", 0),
    "another mode": ("chmod 600 d/b d/h1; chmod 750 d/deep .", 0),
    "other times": ("touch -d 2020-01-01 d/b d/deep .", 0),
    "excluded names": ("echo secret > d/not-this; mkdir not-this; echo secret > not-this/x", 0),
}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    fill(scene)
    yield scene
    scene.kill_processes()


def fill(scene: Scene) -> None:
    """A source with something of everything."""
    scene.configure(exclude=["not-this"])
    source = scene.source
    for name in ("a/file", "d/b", "d/c", "d/h1", "d/deep/x", "d/deep/deeper/y", "e \\#012/tab\tand\nline", "z"):
        put(source / name, name.encode(), WHEN)
    put(source / "d/big", os.urandom(BIG + 1), WHEN)
    put(source / "d/big2", os.urandom(BIG), WHEN)
    put(source / "d/empty", b"", WHEN)
    (source / "d/h2").hardlink_to(source / "d/h1")
    (source / "z2").hardlink_to(source / "d/h1")
    (source / "a/big").hardlink_to(source / "d/big2")
    (source / "d/link").symlink_to("c")
    os.mkfifo(source / "d/fifo")
    (source / "bare").mkdir(mode=0o711)
    for folder in [*(path for path in source.rglob("*") if path.is_dir()), source]:
        os.utime(folder, (WHEN, WHEN))


def calls(scene: Scene) -> list[str]:
    """What the rsyncs of the nights were asked for."""
    lines = (scene.folder / "rsync.calls").read_text().splitlines()
    return [
        "list" if line.startswith("list") else "names" if "--files-from" in line else
        "tree" if "--recursive" in line else "root"
        for line in lines if not line.startswith("other")
    ]  # fmt: skip


def restricted(tree: Fingerprint, names: set[bytes]) -> Fingerprint:
    """Only these names of a tree."""
    return {
        path: replace(mark, links=tuple(link for link in mark.links if link in names))
        for path, mark in tree.items()
        if path in names
    }


def test_it_is_one_run_and_one_for_big_files(scene: Scene) -> None:
    fake_rsync.install(scene, "")
    scene.night()
    assert calls(scene) == ["list", "tree", "names"]
    History(scene).check_newest(fingerprint(scene.source), full=True)
    assert scene.command("verify", "--full").exit_code == 0
    scene.night()
    assert "tree" not in calls(scene)[3:]


def test_folders_with_a_marker_are_not_taken_as_a_whole(scene: Scene) -> None:
    fake_rsync.install(scene, "")
    scene.configure(exclude_marker=".nobackup")
    put(scene.source / "d/deep/.nobackup", b"")
    scene.night()
    assert "tree" not in calls(scene)
    assert list((scene.slots()[1] / "d/deep").iterdir()) == []


@pytest.mark.parametrize(
    "limits", [{"max_size": "10"}, {"min_size": "4"}, {"max_size": "2M"}, {"one_file_system": True}]
)
def test_the_listing_s_own_filters_apply(scene: Scene, limits: dict[str, Any]) -> None:
    scene.configure(**limits)
    scene.night(expect=(0, 3))
    assert scene.command("verify", "--full").exit_code == 0
    assert scene.night(expect=(0, 3)).mirror["added"] == 0


@pytest.mark.parametrize("what", CHANGES)
def test_the_source_changes_between_listing_and_transfer(scene: Scene, what: str) -> None:
    change, code = CHANGES[what]
    listed = set(fingerprint(scene.source))
    once = f'[ "$phase" = transfer ] && [ ! -e {scene.folder}/once ]'
    fake_rsync.install(scene, f"if {once}; then touch {scene.folder}/once; (cd {scene.source}; {change}); fi")
    result = scene.night(expect=(code,))
    now, newest = fingerprint(scene.source), fingerprint(scene.slots()[1])
    names = {path for path in listed & set(now) if path in newest}
    lost = {path for path in listed & set(now) if path not in newest}
    assert set(newest) <= listed
    assert len(lost) == (1 if " for a " in what else 0), f"{lost}: {result}"  # of another kind by now
    lines = compare(restricted(now, names), restricted(newest, names))
    assert not lines, "\n".join(lines)
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, f"{result}\n{verified}"
    history = History(scene)
    history.check()
    scene.night()
    history.check()
    history.check_newest(restricted(fingerprint(scene.source), {
        path for path in fingerprint(scene.source) if b"not-this" not in path
    }))  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_file_that_an_ordinary_user_cannot_read() -> None:
    """The rest comes, with other owners and modes that this user cannot keep."""
    with tempfile.TemporaryDirectory(prefix="ordinary.", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        scene = Scene(folder, user=65534, environment={"HOME": name})
        fill(scene)
        (scene.source / "d/b").chmod(0o600)
        fake_rsync.install(scene, "")
        (folder / "rsync.calls").touch(0o666)
        (folder / "rsync.calls").chmod(0o666)
        result = scene.night(expect=(3,))
        assert "d/b" in str(result.mirror["warnings"])
        assert calls(scene) == ["list", "tree", "names"]
        names = set(fingerprint(scene.source)) - {b"d/b"}
        now, newest = fingerprint(scene.source), fingerprint(scene.slots()[1])
        lines = compare(restricted(now, names), newest, ignore=("uid", "gid"))
        assert not lines, "\n".join(lines)
        verified = scene.command("verify", "--full")
        assert verified.exit_code == 0, str(verified)


def test_a_killed_night_goes_on(scene: Scene) -> None:
    """What has arrived is not fetched again."""
    for number in range(400):
        put(scene.source / f"many{number % 9}/file{number}", os.urandom(3000), WHEN)
    fake_rsync.killed_in_mid_transfer(scene, ("rename", "renameat", "renameat2"), 200)
    scene.night(expect=(12,))
    fake_rsync.remove(scene)
    result = scene.night()
    assert 0 < result.mirror["bytes_transferred"] < 400 * 3000 * 0.75 + 2 * BIG + 1000
    History(scene).check_newest(fingerprint(scene.source), full=True)
    assert scene.command("verify", "--full").exit_code == 0
