"""The server is an attacker: what it says becomes names on the store, so nothing that it says is believed unseen.

A sender may send messages, which the rsync on our side prints where its listing goes: so it can forge any line of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import fake_rsync
from tests.support.fingerprint import compare, fingerprint
from tests.support.runner import History, Scene

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a store as root has it is what an attacker wants")
FILE = r">f+++++++++|rw-r--r--|0|0|5|2026/11/20-03:00:00|"
FOLDER = "cd+++++++++|rwxr-xr-x|0|0|5|2026/11/20-03:00:00|"
LINKED = "hf+++++++++|rw-r--r--|0|0|5|2026/11/20-03:00:00|"
FORGED = {
    "a sealed file": FILE + "//../../backup.1/precious",
    "a sealed file, with its dots escaped": FILE + r"//\#056\#056/\#056./backup.1/precious",
    "a slash in a name": FILE + r"//..\#057../backup.1/precious",
    "a sealed folder": FOLDER + "//../../backup.1/folder/",
    "a name in another slot's folder": FILE + "//folder/../../../backup.1/precious",
    "an absolute name": FILE + "//{victim}/precious",
    "the folder above": FOLDER + "//../",
    "two slashes": FILE + "//folder//precious",
    "an empty name": FILE + "//",
    "a NUL in a name": FILE + r"//a\#000b",
    "a link to a file outside": LINKED + " => ../../../../victim/precious//precious",
    "a link outside": LINKED + " => precious//../../backup.1/precious",
    "a link to nothing": LINKED + " => nothing//link",
    "a link to a folder": LINKED + " => folder//link",
    "a link to a link": LINKED + " => precious//one\n" + LINKED + " => one//two",
    "a symlink without a target": "cL+++++++++|rwxrwxrwx|0|0|5|2026/11/20-03:00:00|//symlink",
    "a name twice": FILE + "//precious",
    "a name as file and folder": FOLDER + "//precious/",
    "a folder as file, too": FILE + "//folder",
    "a size that is no number": ">f+++++++++|rw-r--r--|0|0|many|2026/11/20-03:00:00|//new",
    "a negative size": ">f+++++++++|rw-r--r--|0|0|-5|2026/11/20-03:00:00|//new",
    "a size beyond all": ">f+++++++++|rw-r--r--|0|0|99999999999999999999999999|2026/11/20-03:00:00|//new",
    "permissions that are none": ">f+++++++++|?????????|0|0|5|2026/11/20-03:00:00|//new",
    "no time": ">f+++++++++|rw-r--r--|0|0|5|yesterday|//new",
    "half a line": ">f+++++++++|rw-r--r--",
    "a kind that there is not": ">x+++++++++|rw-r--r--|0|0|5|2026/11/20-03:00:00|//new",
}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    (scene.source / "folder").mkdir()
    for name in ("precious", "folder/precious", "other"):
        (scene.source / name).write_text(name)
    for folder in (scene.source / "folder", scene.source):
        os.utime(folder, (1_000_000_000, 1_000_000_000))  # rsync takes a folder of this very second for unchanged
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "precious").write_text("not ours")
    scene.configure(keep_last=2)
    yield scene
    scene.release()


def change(scene: Scene, night: int) -> None:
    """One file changes, and shows it: nights are quicker here than rsync's whole seconds."""
    (scene.source / "other").write_text(f"night {night}")
    os.utime(scene.source / "other", (1_100_000_000 + night, 1_100_000_000 + night))


@pytest.mark.parametrize(
    ("what", "ring"), [(what, "filling") for what in FORGED] + [(what, "recycled") for what in list(FORGED)[:3]]
)
def test_a_forged_line_in_the_listing(scene: Scene, what: str, ring: str) -> None:
    """The night fails with a sentence or is harmless; outside the slot nothing moves, and the next night is right."""
    victim, history = scene.folder / "victim", History(scene)
    for night in range(1 if ring == "filling" else 3):
        change(scene, night)
        scene.night()
    history.check()
    before = fingerprint(victim)
    lines = FORGED[what].replace("{victim}", str(victim)).replace("\\", "\\\\")
    says = "\n".join(f"printf '%b\\n' '{line}'" for line in lines.split("\n"))
    change(scene, 10)
    fake_rsync.install(scene, f'if [ "$phase" = list ]; then "$real" "$@"; {says}; exit 0; fi')
    result = scene.night(expect=(0, 3, 11, 12))
    assert not compare(before, fingerprint(victim))
    published = history.check()
    if result.exit_code not in (0, 3):
        assert result.mirror["result"] == "failed", str(result)
        assert len(published) == len(history.sealed)
    fake_rsync.remove(scene)
    for night in range(3):
        change(scene, 20 + night)
        scene.night(expect=(0, 3))
        history.check()
        assert not compare(before, fingerprint(victim))
    history.check_newest(fingerprint(scene.source))
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, str(verified)
