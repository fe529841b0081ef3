"""Files from the year 10000, or 1900, or what a broken clock made of them: nights, and all that looks at them.

The source lies on /dev/shm, which holds all 64 bits of seconds; the store does on a disk that does not, or there, too.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapmirror.snapshots import times
from tests.support.runner import History, Result, Scene

NOW = 1_700_000_000
TIMES = {
    "year 10000": 253402300800, "year 33658": 10**12 + 7, "year 1900": -2208988801, "year 0": -62167219200,
    "year -1": -62167219201, "year -4368": -200000000003, "2039": 2177452800, "2450": 15147216000, "1960": -315619200,
    "beyond rsync": 1 << 62, "before rsync": -(1 << 62), "last": (1 << 63) - 1, "first": -(1 << 63), "usual": NOW,
}  # fmt: skip


ENDS = [(0, -86400), ((1 << 31) - 1, 1 << 31), (-86400, 0)]
"""Times, the one before and the one after a change, that the disk of the tests holds."""


@pytest.fixture
def memory() -> Iterator[Path]:
    folder = Path("/dev/shm") / f"snapmirror-odd-{os.getpid()}"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-r", folder], check=True)


def odd_tree(folder: Path) -> None:
    """Files, and a folder, a symlink, a FIFO and two hard link groups of the year 33658."""
    for name, seconds in TIMES.items():
        (folder / name).write_text(name)
        stamp(folder / name, seconds)
    below = folder / "folder"
    below.mkdir()
    (below / "file").write_text("x")
    (folder / "link").symlink_to("usual")
    os.mkfifo(folder / "fifo")
    for number in range(2):
        (folder / f"group{number}a").write_text(f"{number}")
        os.link(folder / f"group{number}a", folder / f"group{number}b")
        stamp(folder / f"group{number}a", 10**12 + number)
    for path in (folder / "link", folder / "fifo", below, folder):
        stamp(path, 10**12)


def stamp(path: Path, seconds: int) -> None:
    os.utime(path, ns=(0, seconds * 10**9), follow_symlinks=False)


def modified(path: Path) -> int:
    return os.lstat(path).st_mtime_ns // 10**9


def versions(scene: Scene) -> dict[str, str]:
    found = scene.command("find", "*", "--json")
    assert found.exit_code == 0, str(found)
    assert scene.command("find", "*").exit_code == 0
    return {one["path"]: one["modified_at"] for one in found.json}


def seen_well(scene: Scene) -> None:
    """Everything that reads a manifest does so, and what is damaged nowhere is said to be whole."""
    for words in (["verify", "--full"], ["diff", "newest", "newest", "--json"]):
        done = scene.command(*words)
        assert done.exit_code == 0, str(done)


def quiet(result: Result) -> None:
    mirror = result.mirror
    zero = ("added", "updated", "attributes", "linked", "deleted", "bytes_transferred")
    assert [mirror[key] for key in zero] == [0] * 6 and mirror["warnings"] == [], str(result)


@pytest.mark.parametrize("kept", [False, True], ids=["disk", "memory"])
def test_nights_with_odd_times(tmp_path: Path, memory: Path, kept: bool) -> None:
    """The store's disk holds them, or holds the nearest: one warning says which, and nothing comes again."""
    scene = Scene(memory if kept else tmp_path)
    source = memory / "odd"
    source.mkdir()
    odd_tree(source)
    scene.configure(source=str(source), keep_last=9)
    history = History(scene)

    first = scene.night(expect=(0, 3))
    assert scene.published()
    tree = scene.slots()[1]
    for path in (source, *source.rglob("*")):
        there = tree / path.relative_to(source)
        assert times.fits(times.printed(modified(path)), modified(there)), path
    changed = [name for name in TIMES if modified(tree / name) != TIMES[name]]
    warnings = first.mirror["warnings"]
    if kept:
        assert changed == [] and warnings == []
    else:
        assert "year 33658" in changed and "usual" not in changed
        [warning] = warnings
        assert "this disk cannot hold" in warning and "names have times" in warning, warning
        assert first.exit_code == 3
    shown = versions(scene)
    for name in TIMES:
        assert shown[name] == times.iso(modified(tree / name)), name
    assert shown["usual"] == datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    seen_well(scene)
    history.check()

    quiet(scene.night())
    quiet(scene.night("--full"))

    (source / "year 33658").write_text("changed, and longer")  # its content; its time is as odd as before
    stamp(source / "year 33658", 10**12 + 7)
    (source / "usual").write_text("changed")
    stamp(source / "usual", 10**13)  # it was usual
    (source / "year 1900").unlink()
    os.link(source / "group0a", source / "group0c")
    os.link(source / "year 10000", source / "year 10000 too")
    (source / "group1b").unlink()
    stamp(source, 10**12)
    last = scene.night("--accept-changes", expect=(0, 3))
    assert last.exit_code == (0 if kept else 3), str(last)
    tree = scene.slots()[1]
    assert (tree / "year 33658").read_text() == "changed, and longer" and (tree / "usual").read_text() == "changed"
    assert os.lstat(tree / "group0a").st_nlink % 3 == 0 and not (tree / "year 1900").exists()
    assert os.lstat(tree / "year 10000").st_ino == os.lstat(tree / "year 10000 too").st_ino
    difference = scene.command("diff", "2", "1", "--json")
    assert difference.exit_code == 0, str(difference)
    seen_well(scene)
    history.check()
    quiet(scene.night())
    quiet(scene.night("--full"))
    history.check()

    restored = scene.command("--quiet", "restore", "newest", "/", "--to", str(scene.folder / "back"), "--yes")
    assert restored.exit_code == 0, str(restored)
    assert modified(scene.folder / "back" / "year 33658") == modified(tree / "year 33658")


def test_another_time_is_still_damage(tmp_path: Path, memory: Path) -> None:
    scene = Scene(tmp_path)
    (memory / "file").write_text("x")
    stamp(memory / "file", 10**12)
    scene.configure(source=str(memory))
    scene.night(expect=(3,))
    sealed = scene.slots()[1] / "file"
    for wrong in (10**9, modified(sealed) - 1, 1 << 33):
        stamp(sealed, wrong)
        damaged = scene.command("verify")
        assert damaged.exit_code == 14 and "time: file" in damaged.stdout, str(damaged)


@pytest.mark.parametrize("words", [(), ("--full",)])
@pytest.mark.parametrize("ends", ENDS, ids=str)
def test_a_time_at_the_end_of_what_some_disk_holds(
    tmp_path: Path, memory: Path, ends: tuple[int, int], words: tuple[str, ...]
) -> None:
    """It may be the file's own, and is no excuse for a later change."""
    scene = Scene(tmp_path / "scene", mirror={"source": str(memory)})
    before, after = ends
    (memory / "file").write_text("x")
    (memory / "link").symlink_to("file")
    for seconds in ends:
        for name in ("file", "link"):
            stamp(memory / name, seconds)
        scene.night(*words)
    assert [modified(slot / name) for slot in scene.slots().values() for name in ("file", "link")] == [
        after, after, before, before,
    ]  # fmt: skip
    assert not scene.night(*words).mirror["attributes"]


def test_a_restore_to_a_disk_that_ends_in_2038(folder: Path, memory: Path) -> None:
    """One warning counts the names; what is there as well as the disk can hold it is not offered again."""
    disk = folder / "disk"
    disk.mkdir()
    with (folder / "fs").open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-I", "128", folder / "fs"], check=True, stderr=subprocess.DEVNULL)
    scene = Scene(folder / "scene", mirror={"source": f"{memory}/"})
    for name, seconds in (("2030", 1893456000), ("2040", 2208988800), ("2200", 7258118400), ("folder", 2208988800)):
        (memory / name).mkdir() if name == "folder" else (memory / name).write_text(name)
        stamp(memory / name, seconds)
    scene.night(expect=None)
    subprocess.run(["mount", "-o", "loop", folder / "fs", disk], check=True)
    to, words = disk / "to", ("restore", "newest", "/", "--yes", "--to")
    try:
        done = scene.command(*words, to)
        assert done.exit_code == 3, str(done)
        warning = "warning: 3 names got another time, as this disk cannot hold theirs: "
        assert [line for line in done.stderr.splitlines() if "warning" in line] == [f"{warning}2040, 2200, folder"]
        assert modified(to / "2200") == (1 << 31) - 1
        for more in ([], ["--checksum"]):
            again = scene.command(*words, to, *more)
            assert (again.exit_code, "nothing to do" in again.stdout) == (0, True), str(again)
        (to / "2030").unlink()
        (to / "2040").write_text("longer")
        third = scene.command(*words, to, "--json")
        assert [one["path"] for one in third.json["changes"]] == ["2030", "2040"], str(third)
        assert (third.exit_code, third.json["restored"]) == (3, 2), str(third)
        (to / "2040").write_text("2041")
        assert scene.command(*words, to, "--json").json["restored"] == 1  # its time is another one now
    finally:
        subprocess.run(["umount", disk], check=True)
    whole = scene.command(*words, memory / "out")
    assert (whole.exit_code, "warning" in whole.stderr) == (0, False), str(whole)
    assert modified(memory / "out" / "2200") == 7258118400
