"""What `--json` prints, byte for byte: a golden file per command, with times, ids, places and free space masked.

The files in tests/integration/golden were made by the program as it was before its shapes moved into snapmirror/views.
A shape that changes on purpose is written anew with SNAPMIRROR_TEST_GOLDEN=1, and the version of its view goes up.
"""

from __future__ import annotations

import os
import re
import shutil
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runner import ID, Result, Scene
from tests.support.windows import Windows
from tests.support.winrm import PASSWORD, USER, winrm_running

GOLDEN = Path(__file__).with_name("golden")
WRITE = bool(os.environ.get("SNAPMIRROR_TEST_GOLDEN"))
MEASURED = (
    "seconds", "last_success_age_seconds", "read_back_behind_seconds", "behind_seconds", "store_free_bytes",
    "image_bytes", "disk_free_bytes", "allocated_bytes", "former_bytes", "changed_bytes", "cleared_bytes", "read_bytes",
    "compared_bytes", "written_bytes", "verified_bytes", "completed", "share", "read_back_share", "days_until_full",
    "clock_apart_seconds", "store_free", "disk_free", "port",
)  # fmt: skip
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def masked(text: str, folder: Path, *, machine: bool = False) -> str:
    """The output without what differs from run to run; `machine`: also without what the machine has to say."""
    text = re.sub(r'(?<=_base64": ")[^"]+', lambda found: _masked_bytes(found[0], folder), text)
    text = text.replace(str(folder), "FOLDER")
    text = ID.sub("ID", ISO.sub("TIME", text))
    text = re.sub(rf'"({"|".join(MEASURED)})": -?[\d.]+(e-?\d+)?', r'"\1": 0', text)
    if machine:
        text = re.sub(r'"(level|topic|message|mend)": ".*"', r'"\1": "…"', text)
        text = re.sub(r'"exit_code": \d+', '"exit_code": 0', text)
        block = re.compile(r"(    \{\n(?:      .*\n)*?    \}),\n(?=\1)")
        while (fewer := block.sub("", text)) != text:
            text = fewer
    return text


def _masked_bytes(base64: str, folder: Path) -> str:
    name = os.fsdecode(b64decode(base64, validate=True)).replace(str(folder), "FOLDER")
    return b64encode(os.fsencode(ID.sub("ID", name))).decode()


def compare(name: str, done: Result, folder: Path, *, machine: bool = False) -> None:
    shown, file = masked(done.stdout, folder, machine=machine), GOLDEN / f"{name}.json"
    if WRITE:
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(shown)
    assert shown == file.read_text(), f"{name}: {done.stderr}"


def fill(source: Path) -> None:
    (source / "folder").mkdir()
    for number, name in enumerate([b"plain", b"line\nbreak", b"not \xff text", b"folder/inner"]):
        Path(os.fsdecode(os.path.join(os.fsencode(source), name))).write_text(f"content {number}\n")
    (source / "link").symlink_to("plain")
    os.link(source / "plain", source / "second name")
    os.mkfifo(source / "fifo")
    settle(source)


def change(source: Path) -> None:
    (source / "plain").write_text("another content, as long as it likes\n")
    (source / "folder/inner").chmod(0o600)
    (source / "line\nbreak").rename(source / "moved")
    (source / "fifo").unlink()
    (source / "added").write_text("new\n")
    settle(source)


def settle(source: Path) -> None:
    """Times that do not depend on now: of an hour per name, the latest where something was written."""
    for path in sorted(source.rglob("*"), key=os.fsencode):
        moment = 1_700_000_000 + path.lstat().st_size * 3600
        os.utime(path, (moment, moment), follow_symlinks=False)
    os.utime(source, (1_700_000_000, 1_700_000_000))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two nights of a plain folder, the second with a damaged file, and the first of them pinned."""
    scene = Scene(tmp_path_factory.mktemp("views"))
    fill(scene.source)
    compare("plan", scene.command("plan", "--json"), scene.folder)
    compare("run", scene.night(), scene.folder)
    change(scene.source)
    compare("run-dry", scene.command("run", "--dry-run", "--json"), scene.folder)
    scene.night()
    assert scene.command("pin", "2").exit_code == 0
    yield scene
    scene.release()


LOOKS = {
    "list": ("list",),
    "list-why": ("list", "--why"),
    "plan-retention": ("plan", "--retention"),
    "ls": ("ls", "newest", "/"),
    "find": ("find", "*"),
    "find-nothing": ("find", "nowhere"),
    "diff": ("diff", "2", "1"),
    "status": ("status",),
    "log": ("log",),
    "verify": ("verify", "--full"),
    "verify-sample": ("verify", "--sample", "50%", "--seed", "7"),
    "restore-dry": ("restore", "1", ".", "--dry-run", "--to", "/nonexistent/restored"),
    "forget-dry": ("forget", "1", "--dry-run", "--accept-changes"),
    "purge-dry": ("purge", "plain", "--dry-run", "--accept-changes"),
    "retire-dry": ("retire", "web", "--dry-run", "--accept-changes", "--with-pinned"),
    "mount-plain": ("mount",),
    "export-status": ("export", "status"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_looks(history: Scene, name: str) -> None:
    compare(name, history.command(*LOOKS[name], "--json"), history.folder)


def test_what_is_written(history: Scene, tmp_path: Path) -> None:
    """A restore; the copy of a store is purged, forgotten and retired."""
    compare("restore", history.command("restore", "1", ".", "--to", tmp_path / "r", "--yes", "--json"), tmp_path)
    other = Scene(tmp_path / "other")
    shutil.copytree(history.source, other.source, symlinks=True, dirs_exist_ok=True)
    other.night()
    (other.source / "plain").write_text("again\n")
    other.night()
    for name, words in {
        "purge": ("purge", "plain", "--from-history", "--accept-changes"),
        "forget": ("forget", "2", "--accept-changes"),
        "retire": ("retire", "web", "--accept-changes", "--with-pinned"),
    }.items():
        compare(name, other.command(*words, "--yes", "--json"), other.folder)


def test_failures(tmp_path: Path) -> None:
    """A source that is away, and a store that is."""
    scene = Scene(tmp_path)
    (scene.source / "plain").write_text("content\n")
    settle(scene.source)
    scene.source.rename(tmp_path / "elsewhere")
    compare("run-failed", scene.night(expect=(12,)), tmp_path)
    compare("status-failed", scene.command("status", "--json"), tmp_path)
    compare("log-failed", scene.command("log", "--json"), tmp_path)
    scene.store.rename(tmp_path / "gone")
    compare("run-no-store", scene.night(expect=(11,)), tmp_path)


def test_a_guard_and_damage(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(3):
        (scene.source / f"file{number}").write_text(f"content {number}\n")
    (scene.source / "moved\n").write_text("content\n")
    settle(scene.source)
    scene.night()
    stored = scene.slots()[1] / "moved\n"
    before = stored.stat()
    stored.write_text("CONTENT\n")
    os.utime(stored, ns=(before.st_atime_ns, before.st_mtime_ns))
    compare("verify-damage", scene.command("verify", "--full", "--json"), tmp_path)
    compare("status-damage", scene.command("status", "--json"), tmp_path)
    compare("verify-heal", scene.command("verify", "--found", "--heal", "--json"), tmp_path)
    scene.configure(guard={"max_deleted": "10%", "at_least": 1, "min_free": "1M", "min_free_inodes": 10})
    for number in range(3):
        (scene.source / f"file{number}").unlink()
    compare("plan-refused", scene.command("plan", "--json"), tmp_path)


def test_the_copy_of_an_image(folder: Path) -> None:
    image = {"file": str(folder / "x.img"), "size": "512M", "encryption": "none"}
    scene = Scene(folder / "scene", image=image)
    (scene.source / "plain").write_text("content\n")
    settle(scene.source)
    assert scene.command("init").exit_code == 0
    place = folder / "disk"
    place.mkdir()
    scene.sections["copy"] = {"destination": str(place), "after_night": True}
    scene.configure()
    compare("run-copy", scene.night(expect=(0, 3)), folder)
    compare("copy", scene.command("copy-image", str(place), "--json"), folder)
    compare("mount", scene.command("mount", "--json"), folder)
    assert scene.command("umount").exit_code == 0


def test_the_machine(history: Scene) -> None:
    """What the doctor says depends on the machine; the shape does not."""
    compare("doctor", history.command("doctor", "--json"), history.folder, machine=True)


def test_the_windows_host(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.touch(0o600)
    secret.write_text(PASSWORD)
    (tmp_path / "double").mkdir()
    with winrm_running(tmp_path / "double") as winrm:
        winrm.windows = Windows(event_source=False)
        host = {
            "address": "127.0.0.1", "port": winrm.port, "user": USER, "password_file": str(secret),
            "ca_file": str(winrm.ca_file), "timeout_seconds": 20, "image_path": winrm.windows.path,
        }  # fmt: skip
        scene = Scene(tmp_path / "scene", sections={"host": host})
        compare("host-check", scene.command("host", "check", "--json"), tmp_path, machine=True)
        compare("host-prepare-dry", scene.command("host", "prepare", "--dry-run", "--json"), tmp_path)
        compare("host-prepare", scene.command("host", "prepare", "--json"), tmp_path)
