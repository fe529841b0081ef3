"""verify finds every kind of damage, says in which snapshots, and finds none where there is none."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.files import OLD, flip, put
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import Result, Scene
from tests.support.trees import Tree


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Three snapshots: `changing` differs in each, all else is shared by all."""
    scene = Scene(tmp_path_factory.mktemp("sealed"))
    source = scene.source
    put(source / "etc" / "fstab", b"one line\n")
    put(source / "etc" / "ssh" / "key", b"secret\n")
    put(source / "big", b"0123456789" * 20_000)
    put(source / "twin", b"linked")
    os.link(source / "twin", source / "etc" / "twin")
    (source / "link").symlink_to("etc/fstab")
    os.mkfifo(source / "pipe")
    (source / "empty folder").mkdir()
    put(source / os.fsdecode(b"new\nline \xff"), b"named")
    for night in range(3):
        put(source / "changing", b"version %d" % night, OLD + night)
        scene.night()
    return scene


@pytest.fixture
def scene(sealed: Scene, tmp_path: Path) -> Scene:
    """A copy of it, to be damaged."""
    subprocess.run(["cp", "--archive", f"{sealed.folder}/.", tmp_path], check=True)
    return Scene(tmp_path)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach; pytest's own are for its user only."""
    with tempfile.TemporaryDirectory(prefix="verify.") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def verify(scene: Scene, *words: str) -> tuple[Result, list[dict[str, Any]]]:
    result = scene.command("verify", "--json", *words)
    assert result.exit_code == result.json["exit_code"], str(result)
    return result, [finding for mirror in result.json["mirrors"] for finding in mirror["findings"]]


def ids(scene: Scene) -> list[str]:
    return list(scene.published())


def test_nothing_is_found_where_nothing_is_wrong(scene: Scene) -> None:
    for words in ([], ["--full"], ["--sample", "50%"], ["newest"]):
        result, findings = verify(scene, *words)
        assert (result.exit_code, findings) == (0, []), str(result)
    [mirror] = verify(scene, "--full")[0].json["mirrors"]
    assert mirror["files_read"] == 5 + 3, "a shared inode is read once"
    said = scene.command("verify", "--full")
    assert said.exit_code == 0
    assert "3 snapshots" in said.stdout and "no damage" in said.stdout


def flip_a_byte(tree: Path) -> None:
    flip(tree / "big")


def replace_by_other_type(tree: Path) -> None:
    (tree / "etc" / "fstab").unlink()
    (tree / "etc" / "fstab").symlink_to("/etc/passwd")


def folder_to_file(tree: Path) -> None:
    (tree / "etc" / "ssh" / "key").unlink()
    (tree / "etc" / "ssh").rmdir()
    put(tree / "etc" / "ssh", b"a file now")


def swap_target(tree: Path) -> None:
    status = (tree / "link").lstat()
    (tree / "link").unlink()
    (tree / "link").symlink_to("etc/fstaX")
    os.utime(tree / "link", ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def break_link(tree: Path) -> None:
    path = tree / "etc" / "twin"
    status, data = path.stat(), path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def join_files(tree: Path) -> None:
    (tree / "changing").unlink()
    os.link(tree / "etc" / "fstab", tree / "changing")


def keeping_folder_times(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """A change of names also changes the time of the folder; that is another finding, and not the point here."""

    def kept(tree: Path) -> None:
        folders = [tree, *(path for path in tree.rglob("*") if path.is_dir() and not path.is_symlink())]
        times = {path: path.stat() for path in folders}
        change(tree)
        for path, status in times.items():
            if path.is_dir():
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return kept


SHARED = 3
"""Damage to an inode is in all snapshots, damage to a name in one."""


@pytest.mark.parametrize(
    ("damage", "kind", "path", "hit", "words"),
    [
        (flip_a_byte, "content", "big", SHARED, ["--full"]),
        (lambda tree: os.chmod(tree / "etc/fstab", 0o666), "mode", "etc/fstab", SHARED, []),
        (lambda tree: os.chmod(tree / "empty folder", 0o711), "mode", "empty folder", 1, []),
        (lambda tree: os.chmod(tree, 0o711), "mode", ".", 1, []),
        (lambda tree: os.chmod(tree / "pipe", 0o666), "mode", "pipe", SHARED, []),
        (lambda tree: os.truncate(tree / "big", 10), "size", "big", SHARED, []),
        (lambda tree: os.utime(tree / "big", (1, 1)), "time", "big", SHARED, []),
        (lambda tree: os.utime(tree / "empty folder", (1, 1)), "time", "empty folder", 1, []),
        (lambda tree: os.utime(tree / "link", (1, 1), follow_symlinks=False), "time", "link", SHARED, []),
        (lambda tree: (tree / "etc/ssh/key").unlink(), "missing", "etc/ssh/key", 1, []),
        (lambda tree: put(tree / "etc/ssh/more", b"new"), "extra", "etc/ssh/more", 1, []),
        (lambda tree: (tree / "zzz").mkdir(), "extra", "zzz", 1, []),
        (replace_by_other_type, "type", "etc/fstab", 1, []),
        (folder_to_file, "type", "etc/ssh", 1, []),
        (swap_target, "target", "link", 1, []),
        (break_link, "links", "twin", 1, []),
        (join_files, "links", "etc/fstab", 1, []),
        (lambda tree: (tree / os.fsdecode(b"new\nline \xff")).unlink(), "missing", "new\\nline \\xff", 1, []),
    ],
)  # fmt: skip
def test_damage_is_found(
    scene: Scene, damage: Callable[[Path], object], kind: str, path: str, hit: int, words: list[str]
) -> None:
    change_names = kind in {"missing", "extra", "type", "target", "links"}
    (keeping_folder_times(damage) if change_names else damage)(scene.slots()[2])
    result, findings = verify(scene, *words)
    assert result.exit_code == 14, str(result)
    found = [finding for finding in findings if (finding["kind"], finding["path"]) == (kind, path)]
    assert len(found) == 1, str(result)
    expected = ids(scene) if hit == SHARED else ids(scene)[1:2]
    if kind == "target":  # a new symlink took the name: the others keep theirs; the inode's number still names them
        assert ids(scene)[1] in found[0]["snapshots"]
    else:
        assert found[0]["snapshots"] == expected, str(result)
    assert all(finding["path"] in {path, "changing"} for finding in findings), str(result)


def test_findings_are_told_on_screen(scene: Scene) -> None:
    flip_a_byte(scene.slots()[2])
    os.chmod(scene.slots()[2] / os.fsdecode(b"new\nline \xff"), 0o600)
    said = scene.command("verify", "--full")
    assert said.exit_code == 14
    assert "content: big: has MD5 " in said.stdout
    assert f"; in {', '.join(ids(scene))}" in said.stdout
    assert "mode: new\\nline \\xff: has mode 0600, had 0644" in said.stdout
    assert "2 findings in 3 snapshots" in said.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="foreign owners need root")
def test_a_changed_owner_is_found(scene: Scene) -> None:
    os.chown(scene.slots()[1] / "link", 1234, 5678, follow_symlinks=False)
    _, [finding] = verify(scene)
    assert (finding["kind"], finding["path"]) == ("owner", "link")
    assert "1234:5678" in finding["detail"]


def test_a_lost_folder_is_one_finding(scene: Scene) -> None:
    def lose(tree: Path) -> None:
        for path in (tree / "etc/ssh/key", tree / "etc/fstab", tree / "etc/twin"):
            path.unlink()
        (tree / "etc/ssh").rmdir()
        (tree / "etc").rmdir()

    keeping_folder_times(lose)(scene.slots()[1])
    _, findings = verify(scene)
    [missing] = [finding for finding in findings if finding["kind"] == "missing"]
    assert (missing["path"], missing["below"]) == ("etc", 4)


def test_damage_hits_snapshots_that_were_not_looked_at(scene: Scene) -> None:
    flip_a_byte(scene.slots()[1])
    _, [finding] = verify(scene, "newest", "--full")
    assert finding["snapshots"] == ids(scene)


def test_a_flipped_byte_is_not_seen_by_a_quick_look(scene: Scene) -> None:
    flip_a_byte(scene.slots()[1])
    assert verify(scene)[0].exit_code == 0


def test_a_sample_is_drawn_by_its_seed(scene: Scene) -> None:
    for number in range(40):
        put(scene.source / f"many/{number}", b"x")
    scene.night()
    counts = {
        verify(scene, "newest", "--sample", "30%", "--seed", "7")[0].json["mirrors"][0]["files_read"] for _ in "12"
    }
    assert len(counts) == 1
    assert 0 < counts.pop() < 45
    assert verify(scene, "--sample", "30%")[0].json["seed"] is not None
    for wrong in ("0%", "x", "101%", "5"):
        assert scene.command("verify", "--sample", wrong).exit_code == 2
    assert scene.command("verify", "--sample", "1%", "--full").exit_code == 2
    assert scene.command("verify", "--seed", "7").exit_code == 2, "a seed alone draws nothing"


def manifests(scene: Scene) -> list[Path]:
    return sorted((scene.home / ".snapmirror" / "manifests").glob("*.zst"), reverse=True)


@pytest.mark.parametrize("how", ["truncate", "remove", "flip", "swap", "empty"])
def test_a_damaged_manifest_is_a_finding(scene: Scene, how: str) -> None:
    path = manifests(scene)[1]
    data = path.read_bytes()
    if how == "truncate":
        path.write_bytes(data[: len(data) * 2 // 3])
    elif how == "remove":
        path.unlink()
    elif how == "flip":
        path.write_bytes(data[:-20] + bytes([data[-20] ^ 255]) + data[-19:])
    elif how == "swap":
        path.write_bytes(manifests(scene)[2].read_bytes())
    else:
        path.write_bytes(b"")
    for words in ([], ["--full"]):
        result, findings = verify(scene, *words)
        assert result.exit_code == 14
        assert [finding["kind"] for finding in findings] == ["manifest"], str(result)
        assert findings[0]["snapshots"] == [ids(scene)[1]]


@pytest.mark.parametrize("how", ["truncate", "remove", "flip"])
def test_a_damaged_checksum_file_is_a_finding(scene: Scene, how: str) -> None:
    path = min((scene.home / ".snapmirror" / "sums").glob("*.zst"))
    data = path.read_bytes()
    if how == "truncate":
        path.write_bytes(data[:-9])
    elif how == "remove":
        path.unlink()
    else:
        path.write_bytes(data[:-6] + bytes([data[-6] ^ 255]) + data[-5:])
    assert verify(scene)[0].exit_code == 0, "a quick look needs none"
    result, findings = verify(scene, "--full")
    assert result.exit_code == 14
    assert [finding["kind"] for finding in findings] == ["checksums"], str(result)


def test_a_lost_snapshot_and_a_wrong_date(scene: Scene) -> None:
    dated = scene.home / "by-date" / ids(scene)[0]
    dated.unlink()
    dated.symlink_to("../backup.3")
    _, [finding] = verify(scene)
    assert finding["kind"] == "folder"
    os.rename(scene.home / "backup.3", scene.folder / "away")
    result = scene.command("verify", "--json")
    kinds = [finding["kind"] for finding in result.json["mirrors"][0]["findings"]]
    assert (result.exit_code, set(kinds)) == (14, {"folder"})


def test_nothing_is_verified_while_a_night_is_running(scene: Scene) -> None:
    scene.fake_program("rsync", "#!/bin/sh\nexec sleep 61.7\n")  # (it may write nowhere)
    process = scene.start("run")
    while not any("sleep 61.7" in one for one in scene.processes()):
        assert process.poll() is None
    (scene.programs / "rsync").unlink()
    result = scene.command("verify")
    process.terminate()
    scene.finish(process)
    assert result.exit_code == 10
    assert "another run holds the store" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="devices and foreign owners need root")
def test_random_history_is_found_true(tmp_path: Path) -> None:
    """What nights seal and recycle is what their manifests say: every kind of entry, many kinds of change."""
    rng = random.Random("verify")
    scene = Scene(tmp_path)
    scene.configure(keep_last=2)
    tree = Tree(scene.source)
    tree.grow(random_kinds(rng, 80))
    for _ in range(6):
        scene.night("--accept-changes")
        result, findings = verify(scene, "--full")
        assert (result.exit_code, findings) == (0, []), str(result)
        tree.published()
        live_a_day(tree, random_changes(rng, 12))


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
@pytest.mark.parametrize("fake_super", [False, True])
def test_a_store_of_an_ordinary_user(open_folder: Path, fake_super: bool) -> None:
    """Owners and set-id bits that could not be kept are no damage; with fake-super they are kept, and checked."""
    scene = Scene(open_folder, user=4321)
    scene.configure(fake_super=fake_super)
    put(scene.source / "file", b"content")
    os.chown(scene.source / "file", 7, 8)
    os.chmod(scene.source / "file", 0o4755)
    (scene.source / "link").symlink_to("file")
    scene.night()
    result, findings = verify(scene, "--full")
    assert (result.exit_code, findings) == (0, []), str(result)
    path = scene.slots()[1] / "file"
    if fake_super:
        assert os.getxattr(path, "user.rsync.%stat").startswith(b"104755 0,0 7:8")
        os.setxattr(path, "user.rsync.%stat", b"100644 0,0 7:9")
        _, findings = verify(scene)
        assert {finding["kind"] for finding in findings} == {"mode", "owner"}
    else:
        os.chmod(path, 0o600)
        _, findings = verify(scene)
        assert {finding["kind"] for finding in findings} == {"mode"}
