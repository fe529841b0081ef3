"""What is wrong with how the program was called, and not with the store, is said in the right words."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.runner import Scene
from tests.support.scenes import encrypted


def test_an_empty_name_is_no_folder(scene: Scene) -> None:
    scene.night()
    done = scene.command("restore", "newest", "/", "--to", "", "--yes")
    assert (done.exit_code, "an empty name is not a folder" in done.stderr) == (2, True), str(done)


def in_removed_folder(scene: Scene, *words: str) -> subprocess.CompletedProcess[str]:
    lost = scene.folder / "lost"
    lost.mkdir()
    script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    return subprocess.run(
        ["sh", "-c", script, "sh", str(lost), *scene.argv(*words)], env=scene.environ(), capture_output=True,
        text=True, check=False, cwd="/",
    )  # fmt: skip


def test_the_working_folder_is_gone(scene: Scene) -> None:
    done = in_removed_folder(scene, "run")
    assert done.returncode == 0, done.stderr
    done = in_removed_folder(scene, "restore", "newest", "/", "--to", "out", "--yes")
    assert (done.returncode, "was removed; cd elsewhere" in done.stderr) == (2, True), done.stderr
    assert not Path("/out").exists()
    done = in_removed_folder(scene, "restore", "newest", "/", "--to", f"{scene.folder}/out", "--yes")
    assert done.returncode == 0, done.stderr


def test_a_temporary_folder_that_is_missing(scene: Scene) -> None:
    scene.environment["TMPDIR"] = str(scene.folder / "missing")
    scene.night()
    assert scene.command("restore", "newest", "/", "--to", scene.folder / "out", "--yes").exit_code == 0


def test_an_immutable_image(folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    with (folder / "fs").open("wb") as file:
        file.truncate(700 << 20)
    subprocess.run(["mkfs.ext4", "-q", folder / "fs"], check=True)
    subprocess.run(["mount", "-o", "loop", folder / "fs", disk], check=True)
    image = disk / "i.img"
    scene = Scene(folder / "scene", image={"file": str(image), "size": "512M", "encryption": "none"})
    (scene.source / "file").write_text("0")
    try:
        assert scene.command("init").exit_code == 0
        subprocess.run(["chattr", "+i", image], check=True)
        done = scene.command("run")
        assert done.exit_code == 11, str(done)
        assert f"{image} cannot be written, not even by root: Operation not permitted" in done.stderr
        assert f"chattr -i {image}" in done.stderr
        subprocess.run(["chattr", "-i", image], check=True)
        scene.night()
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("words", [["list"], ["status"], ["run"], ["doctor"]])
def test_a_state_of_somebody_else(tmp_path: Path, words: list[str]) -> None:
    """root's state folder, configured for a user."""
    tmp_path.chmod(0o755)
    for above in tmp_path.parents[:3]:
        above.chmod(above.stat().st_mode | 0o011)
    scene = Scene(tmp_path / "scene", user=4711)
    (scene.source / "file").write_text("0")
    scene.night()
    os.chown(scene.state, 0, 0)
    for path in scene.state.iterdir():
        os.chown(path, 0, 0)
        path.chmod(0o600)
    scene.state.chmod(0o700)
    done = scene.command(*words)
    assert done.exit_code in (0, 3, 11), str(done)


def test_quiet_is_quiet(scene: Scene) -> None:
    scene.night()
    scene.night()
    for words in (["mount"], ["umount"], ["pin", "2"], ["unpin", "2"], ["forget", "2", "--yes"],
                  ["restore", "newest", "/", "--to", str(scene.folder / "out"), "--yes"], ["run"],
                  ["retire", "web", "--yes", "--accept-changes"]):  # fmt: skip
        done = scene.command("--quiet", *words)
        assert done.exit_code == 0 and done.stdout == "", f"{words}: {done}"
        assert done.stderr == "" or "section of web" in done.stderr, f"{words}: {done}"


def test_times_tell_their_zone(scene: Scene) -> None:
    """Ids are UTC, what stands beside them is local."""
    scene.environment["TZ"] = "America/New_York"
    (scene.source / "file").write_text("0")
    scene.night()
    for words in (["list"], ["status"], ["find", "file"], ["forget", "newest", "--dry-run", "--accept-changes"]):
        told = scene.command(*words)
        assert re.search(r"\d\d:\d\d E[SD]T\b", told.stdout) or told.exit_code == 13, str(told)


def test_room_is_one_number(folder: Path) -> None:
    """Open for reading, XFS tells of more room than a night has."""
    scene = Scene(folder / "scene", image={"file": str(folder / "i.img"), "size": "512M", "encryption": "none"})
    assert scene.command("init").exit_code == 0
    for _ in range(2):
        (scene.source / "file").write_bytes(os.urandom(1 << 20))
        scene.night()
    for change in (["list"], ["forget", "2", "--yes"]):
        scene.command(*change)
        [told] = [line for line in scene.command("list").stderr.splitlines() if "the store has" in line]
        assert told in scene.command("status").stderr.splitlines() and "its image takes" in told
    plain = Scene(folder / "plain")
    (plain.source / "file").write_text("0")
    plain.night()
    rooms = [re.findall("the store has .*", plain.command(word).stderr) for word in ("list", "status")]
    assert all(re.fullmatch(r"the store has [\d.]+ \w+ left", room[0]) for room in rooms), rooms


def test_a_hint_names_no_files_that_take_nothing(scene: Scene) -> None:
    """No room, although nothing big is to come: the largest file would have 0 B."""
    (scene.source / "file").write_bytes(b"")
    scene.configure(guard={"min_free": "500T", "min_free_inodes": 1})
    done = scene.command("run")
    assert done.exit_code == 11 and "500.0 TiB stay free" in done.stderr, str(done)
    assert "the largest" not in done.stderr and " 0 B" not in done.stderr, str(done)
    (scene.source / "some").write_bytes(b"1" * 1000)
    assert "the largest: 'some' (1000 B) (exclude, max_size)" in scene.command("run").stderr


@pytest.mark.parametrize("words", [
    ["restore", "newest", "", "--push", "--yes"], ["restore", "newest", "file", "", "--to", "/nowhere", "--yes"],
    ["find", ""], ["ls", "1", ""], ["cat", "1", ""], ["diff", "1", "1", ""], ["purge", "", "--from-history", "--yes"],
    ["--config", "", "list"], ["--config=", "list"],
])  # fmt: skip
def test_an_empty_name_is_not_everything(scene: Scene, words: list[str]) -> None:
    """`restore newest "$file" --push --yes` with `file` unset wrote the whole tree back."""
    (scene.source / "file").write_text("old")
    scene.night()
    (scene.source / "file").write_text("newer")
    done = scene.command(*words)
    assert (done.exit_code, "is a variable unset?" in done.stderr) == (2, True), str(done)
    assert (scene.source / "file").read_text() == "newer"


def test_a_temporary_folder_in_which_no_file_can_be_made(scene: Scene) -> None:
    scene.environment["TMPDIR"] = "/proc"
    (scene.source / "file").write_text("0")
    scene.night()
    assert scene.command("plan").exit_code == 0
    assert scene.command("restore", "newest", "/", "--to", scene.folder / "out", "--yes").exit_code == 0


def test_no_folder_for_temporary_files_at_all(scene: Scene) -> None:
    (scene.source / "file").write_text("0")
    scene.night()
    script = 'for one in /tmp /var/tmp; do mount -t tmpfs -o ro none $one; done; exec "$@"'
    scratch = Path("/dev/shm") / f"snapmirror-test-{os.getpid()}"  # (what it needs must not be hidden by these mounts)
    shown = ["unshare", "--mount", "sh", "-c", f"mkdir -p {scratch}; mount --bind {scene.folder} {scratch}; {script}"]
    for name in ("store", "source", "state"):
        scene.config.write_text(scene.config.read_text().replace(f"{scene.folder}/{name}", f"{scratch}/{name}"))
    words = scene.argv("plan")
    words[words.index(str(scene.config))] = f"{scratch}/{scene.config.name}"
    try:
        done = subprocess.run(
            [*shown, "sh", *words], env={**scene.environ(), "TMPDIR": "/tmp"}, capture_output=True, text=True,
            check=False, cwd="/",
        )  # fmt: skip
    finally:
        scratch.rmdir()
    assert (done.returncode, "temporary files can be made: /var/tmp: Read-only" in done.stderr) == (11, True), (
        done.stderr
    )


@pytest.mark.parametrize("place", [".", "web", "web/.snapmirror", "web/by-date", "web/.snapmirror/record.json"])
def test_an_immutable_part_of_a_plain_store(folder: Path, place: str) -> None:
    """It was blamed on another user, or on the kernel."""
    scene = Scene(folder / "scene")
    (scene.source / "file").write_text("0")
    scene.night()
    (scene.source / "file").write_text("11")
    subprocess.run(["chattr", "+i", scene.store / place], check=True)
    try:
        done, doctor = scene.command("run"), scene.command("doctor")
    finally:
        subprocess.run(["chattr", "-i", scene.store / place], check=True)
    assert (done.exit_code, "immutable" in done.stderr) == (11, True), str(done)
    assert "belongs to" not in done.stderr and str((scene.store / place).resolve()) in done.stderr
    assert "immutable" in doctor.stdout and doctor.exit_code == (3 if place.endswith("json") else 11), str(doctor)
    scene.night()
    assert len(scene.published()) == 2


def test_an_immutable_encrypted_image(folder: Path) -> None:
    image = folder / "img" / "disk.img"
    with encrypted(folder) as scene:
        subprocess.run(["chattr", "+i", image], check=True)
        try:
            done, doctor = scene.command("run"), scene.command("doctor")
        finally:
            subprocess.run(["chattr", "-i", image], check=True)
    assert (done.exit_code, f"chattr -i {image}" in done.stderr) == (11, True), str(done)
    assert "filename" not in done.stderr  # QEMU's arguments help nobody
    assert f"fail  image: {image} cannot be written" in doctor.stdout and doctor.exit_code == 11, str(doctor)


def test_ssh_is_missing_here(scene: Scene) -> None:
    """Not the server is to blame."""
    (scene.source / "file").write_text("0")
    scene.night()
    scene.configure(source="root@127.0.0.1:/nowhere/", port=1)
    for name in ("rsync", "env", "python3"):
        scene.fake_program(name, f'#!/bin/sh\nexec /usr/bin/{name} "$@"\n')
    (scene.programs / "sh").symlink_to("/bin/sh")
    scene.environment["PATH"] = str(scene.programs)
    for words in (["restore", "newest", "/", "--push", "--yes"], ["plan"]):
        done = scene.command(*words)
        assert done.exit_code == 2, str(done)
        assert "the program ssh is not installed on this machine" in done.stderr
        assert "apt-get install openssh-client" in done.stderr
    checks = {one["topic"]: one for one in scene.command("doctor", "--json").json["checks"] if one["level"] == "fail"}
    assert "ssh is not installed" in checks["mirror web"]["message"]
    assert checks["mirror web"]["mend"] == "apt-get install openssh-client"


@pytest.mark.parametrize("image", [False, True], ids=["folder", "image"])
def test_doctor_before_the_first_night(folder: Path, image: bool) -> None:
    """Of an image it said nothing, and ended with 0."""
    options = {"file": str(folder / "i.img"), "size": "512M", "encryption": "none", "filesystem": "ext4"}
    scene = Scene(folder / "scene", image=options if image else {})
    (scene.source / "file").write_text("0")
    if image:
        assert scene.command("init").exit_code == 0
    checks = scene.command("doctor", "--json")
    [warning] = [one for one in checks.json["checks"] if one["level"] != "ok"]
    assert (checks.exit_code, warning["topic"], warning["mend"]) == (3, "mirror web", "snapmirror run web"), str(checks)
    scene.night()
    assert scene.command("doctor").exit_code == 0
