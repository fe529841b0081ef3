"""verify --heal: damaged files get a good copy in a new inode, in every snapshot, wherever it is killed on the way.

SNAPMIRROR_TEST_LONG=1    kill at every call, instead of at a sample
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from snapmirror.text import printable
from tests.conftest import Figures
from tests.support import crash
from tests.support.files import OLD, flip, put
from tests.support.fingerprint import Fingerprint, compare, fingerprint
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import LONG, Result, Scene
from tests.support.sshd import sshd_running
from tests.support.storage import TINY
from tests.support.trees import Tree

BIG = b"0123456789" * 20_000
SAMPLE = 1_000_000 if LONG else 3
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, list[Fingerprint]]]:
    """Four nights, of which three are kept: one snapshot is parked for recycling."""
    scene = Scene(tmp_path_factory.mktemp("sealed"))
    scene.configure(acls=True, xattrs=True)
    source = scene.source
    put(source / "big", BIG)
    put(source / "etc" / "key", b"secret\n")
    os.chmod(source / "etc" / "key", 0o640)
    put(source / "twin", b"linked")
    os.link(source / "twin", source / "etc" / "twin")
    put(source / "marked", b"with an attribute and an ACL")
    os.setxattr(source / "marked", "user.colour", b"red")
    subprocess.run(["setfacl", "-m", "u:1234:rw", source / "marked"], check=True)
    put(source / os.fsdecode(b"new\nline \xff"), b"named")
    put(source / "first", b"the same content under two names")
    put(source / "second", b"the same content under two names", OLD + 7)
    for night in range(4):
        put(source / "changing", b"version %d" % night, OLD + night)
        if night == 2:
            os.link(source / "changing", source / "etc" / "changing too")
        scene.night()
    yield scene, [fingerprint(tree) for tree in scene.slots().values()]
    scene.release()


@pytest.fixture
def scene(sealed: tuple[Scene, list[Fingerprint]], tmp_path: Path) -> Scene:
    """A copy of it, to be damaged."""
    subprocess.run(["cp", "--archive", f"{sealed[0].folder}/.", tmp_path], check=True)
    scene = Scene(tmp_path)
    scene.configure(acls=True, xattrs=True)
    return scene


@pytest.fixture
def good(sealed: tuple[Scene, list[Fingerprint]]) -> list[Fingerprint]:
    """What each slot was, the newest first."""
    return sealed[1]


def lose(path: Path) -> None:
    folder = path.parent.stat()
    path.unlink()
    os.utime(path.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns))


def heal(scene: Scene, *words: str, expect: int = 3) -> list[dict[str, Any]]:
    result = scene.command("verify", "--heal", "--json", *words)
    assert result.exit_code == expect == result.json["exit_code"], str(result)
    [mirror] = result.json["mirrors"]
    findings: list[dict[str, Any]] = mirror["findings"]
    return findings


def check(scene: Scene, good: list[Fingerprint], shared: list[str], *, nights: int = 2) -> None:
    """Every snapshot is what it was, these names share one inode again, and the next nights go on with it."""
    assert scene.command("verify", "--full").exit_code == 0
    slots = list(scene.slots().values())
    for tree, mark in zip(slots, good, strict=True):
        assert compare(mark, fingerprint(tree)) == []
    for name in shared:
        assert len({(tree / name).lstat().st_ino for tree in slots}) == 1, f"{name} is no longer shared"
    private = scene.home / ".snapmirror"
    assert not list((private / "staging" / "tmp").iterdir())
    assert not (private / "healing.json").exists()
    for night in range(nights):  # the first is made of the parked snapshot, the second of what the first has expired
        put(scene.source / "later", b"%d" % night)
        scene.night()
        assert scene.command("verify", "--full").exit_code == 0
        for name in shared:
            inodes = {(tree / name).lstat().st_ino for tree in scene.slots().values()}
            assert len(inodes) == 1, "the next night took the damaged file from a folder that is not published"


def test_nothing_to_heal(scene: Scene, good: list[Fingerprint]) -> None:
    assert heal(scene, expect=0) == []
    check(scene, good, ["big"])


@pytest.mark.parametrize("name", ["big", "twin", "marked", "etc/key", "first", os.fsdecode(b"new\nline \xff")])
def test_a_flipped_bit_is_healed_from_the_source(scene: Scene, good: list[Fingerprint], name: str) -> None:
    if name == "first":
        (scene.source / "second").unlink()  # (the snapshots have it: it is they who give it)
    path = scene.slots()[2] / name
    damaged = path.stat().st_ino
    flip(path)
    findings = heal(scene)
    assert {finding["kind"] for finding in findings} == {"content"}
    wanted = "second in " if name == "first" else "the source "
    assert all(finding["healed"].startswith(wanted) and finding["not_healed"] is None for finding in findings)
    assert path.stat().st_ino != damaged, "the damaged inode itself was written"
    names = 2 if name == "twin" else 1
    assert [one["healed"] for one in scene.command("list", "--json").json] == [names] * 3
    assert "1 healed" in scene.command("list").stdout or names == 2
    check(scene, good, [name])


def test_healed_over_ssh(scene: Scene, good: list[Fingerprint]) -> None:
    with sshd_running(scene.folder / "sshd") as server:
        scene.configure(source=f"{server.login}:{scene.source}", **server.options())
        flip(scene.slots()[1] / "marked")
        flip(scene.slots()[1] / "twin")
        findings = heal(scene)
        assert len(findings) == 3
        assert all(finding["healed"].startswith("the source ") for finding in findings)
        check(scene, good, ["marked", "twin", "etc/twin"])


def test_a_slot_that_is_ready_does_not_bring_the_damage_back(scene: Scene, good: list[Fingerprint]) -> None:
    """A night that could not list the source has made the slot already: it shares the damaged inode."""
    scene.source.rename(scene.folder / "away")
    scene.night(expect=[12])
    (scene.folder / "away").rename(scene.source)
    slot = scene.home / ".snapmirror" / "slot"
    assert (slot / "big").stat().st_ino == (scene.slots()[1] / "big").stat().st_ino
    flip(scene.slots()[1] / "big")
    heal(scene)
    assert (slot / "big").stat().st_ino == (scene.slots()[1] / "big").stat().st_ino
    check(scene, good, ["big"])


def test_a_file_that_the_disk_cannot_read_is_healed(scene: Scene, good: list[Fingerprint]) -> None:
    path = scene.slots()[1] / "big"
    damaged = path.stat().st_ino
    under = ["strace", "--follow-forks", "--quiet=all", f"--output={scene.folder}/strace.log", f"--trace-path={path}",
             "--trace=read", "--inject=read:error=EIO", "--signal=none"]  # fmt: skip
    result = scene.command("verify", "--heal", "--json", under=under)
    assert result.exit_code == 3, str(result)
    [finding] = result.json["mirrors"][0]["findings"]
    assert (finding["kind"], finding["healed"].split(" /")[0]) == ("unreadable", "the source"), str(result)
    assert path.stat().st_ino != damaged
    check(scene, good, ["big"])


@pytest.mark.parametrize("how", ["changed", "same size and time", "gone", "no source"])
def test_what_nobody_has_stays_damaged(scene: Scene, how: str) -> None:
    if how == "changed":
        put(scene.source / "big", BIG + b"more", OLD + 1)
    elif how == "same size and time":
        flip(scene.source / "big")
    elif how == "gone":
        (scene.source / "big").unlink()
    else:
        shutil.rmtree(scene.source)
    path = scene.slots()[2] / "big"
    flip(path)
    damaged = path.stat().st_ino, path.read_bytes()
    [finding] = heal(scene, expect=14)
    assert finding["healed"] is None
    assert "no snapshot has a good copy" in finding["not_healed"]
    assert (path.stat().st_ino, path.read_bytes()) == damaged
    said = scene.command("verify", "--heal")
    assert said.exit_code == 14
    assert "NOT healed" in said.stdout
    assert [one["healed"] for one in scene.command("list", "--json").json] == [0, 0, 0]


def test_a_lost_name_is_linked_to_its_file_again(scene: Scene, good: list[Fingerprint]) -> None:
    shutil.rmtree(scene.source)
    scene.source.mkdir()
    put(scene.source / "other", b"x")
    slots = scene.slots()
    lose(slots[2] / "big")
    lose(slots[1] / "etc" / "twin")
    os.truncate(slots[3] / "changing", 0)  # its only name: nobody has it
    (slots[2] / "etc" / "key").unlink()  # and its folder's time with it
    findings = {(finding["kind"], finding["path"]): finding for finding in heal(scene, expect=14)}
    assert findings.pop(("size", "changing"))["healed"] is None
    findings.pop(("time", "changing"))
    assert {finding["healed"] for finding in findings.values()} == {"another name of the same file", "the manifest"}
    for number in (1, 2):
        assert compare(good[number - 1], fingerprint(slots[number])) == []
    assert len({(tree / "big").stat().st_ino for tree in slots.values()}) == 1


def test_wrong_attributes_are_put_right_in_a_new_inode(scene: Scene, good: list[Fingerprint]) -> None:
    path = scene.slots()[1] / "etc" / "key"
    os.chmod(path, 0o666)
    if os.geteuid() == 0:
        os.chown(path, 1234, 5678)
    damaged = path.stat().st_ino
    assert {finding["healed"] for finding in heal(scene, "--sample", "100%")} == {"its own content"}
    assert path.stat().st_ino != damaged
    check(scene, good, ["etc/key"])


def test_damage_that_no_copy_mends_is_told(scene: Scene) -> None:
    (scene.slots()[1] / "extra").write_bytes(b"")
    flip(scene.slots()[1] / "big")
    manifest = max((scene.home / ".snapmirror" / "manifests").glob("*.zst"))
    manifest.write_bytes(manifest.read_bytes()[:-9])
    findings = {finding["kind"]: finding for finding in heal(scene, expect=14)}
    assert findings["manifest"]["not_healed"] == "this kind of damage is not healed"
    assert findings["content"]["healed"].startswith("the source "), "the other snapshots' names"


def test_a_damaged_journal_is_an_error(scene: Scene) -> None:
    (scene.home / ".snapmirror" / "healing.json").write_text('{"folders": [["Li4vLi4=", 511, 1, 1]')
    flip(scene.slots()[1] / "big")
    for words in (["verify", "--heal"], ["run"]):
        result = scene.command(*words)
        assert result.exit_code == 11, str(result)
        assert "healing.json is damaged" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")
def test_random_damage_in_a_random_history(tmp_path: Path) -> None:
    """Whatever is healed is what it was; whatever is not is a finding, and stays as it is. In an image with XFS."""
    rng = random.Random("heal")
    scene = Scene(tmp_path, image={"file": str(tmp_path / "disk"), "size": "512M", "encryption": "none"})
    scene.configure(acls=True, xattrs=True)
    initialise(load(scene.config), workload=TINY)
    try:
        tree = Tree(scene.source)
        tree.grow(random_kinds(rng, 60))
        for _ in range(5):
            scene.night("--accept-changes", "--full")
            live_a_day(tree, random_changes(rng, 10))
        subprocess.run(["mount", "-o", "loop", tmp_path / "disk", scene.store], check=True)
        good = {tree.name: fingerprint(tree) for tree in scene.slots().values()}
        inodes = {
            path.lstat().st_ino: path
            for slot in scene.slots().values()
            for path in slot.rglob("*")
            if path.is_file() and not path.is_symlink() and path.stat().st_size
        }
        chosen = rng.sample(sorted(inodes), 12)
        for inode in chosen:
            flip(inodes[inode])
        bad = {tree.name: fingerprint(tree) for tree in scene.slots().values()}
        subprocess.run(["umount", scene.store], check=True)
        result = scene.command("verify", "--heal", "--json")
        findings = result.json["mirrors"][0]["findings"]
        assert result.exit_code == (14 if any(one["healed"] is None for one in findings) else 3), str(result)
        assert sum(one["healed"] is not None for one in findings) >= 3, str(result)
        assert scene.leftovers() == []
        with scene.browsing():
            for slot in scene.slots().values():
                now = fingerprint(slot)
                lines = compare(good[slot.name], now)
                still = [path for path in good[slot.name] if now[path] != good[slot.name][path]]
                told = {one["path"] for one in findings if one["healed"] is None}
                assert all(printable(path) in told for path in still), lines
                assert all(now[path] == bad[slot.name][path] for path in still), lines
        again = scene.command("verify", "--full", "--json")
        left = {(one["kind"], one["path"]) for one in again.json["mirrors"][0]["findings"]}
        assert left == {(one["kind"], one["path"]) for one in findings if one["healed"] is None}
    finally:
        scene.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
@pytest.mark.parametrize("fake_super", [False, True])
def test_a_store_of_an_ordinary_user(fake_super: bool) -> None:
    """In a read-only folder; owners that could not be kept are not invented, those that fake-super keeps stay."""
    with tempfile.TemporaryDirectory(prefix="heal.") as folder:  # pytest's own are for its user only
        os.chmod(folder, 0o755)
        scene = Scene(Path(folder), user=4321)
        scene.configure(fake_super=fake_super)
        put(scene.source / "closed" / "file", b"content")
        os.chown(scene.source / "closed" / "file", 7, 8)
        os.chmod(scene.source / "closed" / "file", 0o4755)
        os.chmod(scene.source / "closed", 0o555)
        scene.night()
        put(scene.source / "other", b"x")
        scene.night()
        good = [fingerprint(tree) for tree in scene.slots().values()]
        flip(scene.slots()[1] / "closed" / "file")
        [finding] = heal(scene)
        assert finding["healed"].startswith("the source ")
        check(scene, good, ["closed/file"])


def killed(scene: Scene, point: crash.Point) -> Result:
    result = crash.killed_at(scene, point, "--heal", "--json", command="verify")
    assert result.exit_code in (*KILLED, 3, 11, 14), str(result)
    return result


def test_killed_at_any_point(
    sealed: tuple[Scene, list[Fingerprint]], good: list[Fingerprint], tmp_path: Path, figures: Figures
) -> None:
    """Each name leads to the damaged file or to the good one; run again, all is healed. So says a night in between."""

    def damaged_copy(name: str) -> Scene:
        subprocess.run(["cp", "--archive", f"{sealed[0].folder}/.", tmp_path / name], check=True)
        scene = Scene(tmp_path / name)
        scene.configure(acls=True, xattrs=True)
        flip(scene.slots()[1] / "twin")
        flip(scene.slots()[2] / "marked")
        return scene

    calls = [*crash.RENAMES, *crash.FLUSHES, "link", "linkat", "unlink", "unlinkat", "utimensat", "setxattr"]
    found, result = crash.points(damaged_copy("trial"), calls, "--heal", "--json", command="verify")
    assert result.exit_code == 3, str(result)
    chosen = [
        point
        for call in sorted({point.call for point in found})
        for point in crash.spread([one for one in found if one.call == call], SAMPLE)
    ]
    assert len(chosen) > 10
    hit = 0
    for number, point in enumerate(chosen):
        scene = damaged_copy(f"kill{number}")
        bad = [fingerprint(tree) for tree in scene.slots().values()]
        hit += killed(scene, point).exit_code in KILLED
        for tree, healthy, sick in zip(scene.slots().values(), good, bad, strict=True):
            now = fingerprint(tree)
            for path, mark in now.items():
                sure = ("content", "mode", "uid", "gid", "size", "xattrs")  # folder times are the next run's to settle
                assert any(
                    all(getattr(mark, name) == getattr(one[path], name) for name in sure) for one in (healthy, sick)
                ), f"{point}: {path!r} in {tree} is neither damaged nor healed: {mark}"
            assert now.keys() == healthy.keys(), str(point)
        if number % 2:
            scene.night(expect=[0, 3])  # 3: rsync was killed first, and what could not be healed is remembered
            scene.command("verify", "--heal")
            assert scene.command("verify", "--full").exit_code == 0, str(point)
            assert compare(good[0], fingerprint(scene.slots()[2])) == [], str(point)
        else:
            result = scene.command("verify", "--heal", "--json")
            assert result.exit_code in (0, 3), f"{point}: {result}"
            check(scene, good, ["twin", "marked"], nights=1)
        shutil.rmtree(scene.folder)
    assert hit > len(chosen) // 2, f"only {hit} of {len(chosen)} kills hit"
    figures.add(f"kills while healing: {hit} of {len(found)} points tried, 0 files lost")
