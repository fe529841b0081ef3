"""A store that an older version has made opens, and goes on, without a step by hand.

The samples were made by the commit that their names tell, on a plain folder with keep_last = 3: five nights, of which
one is pinned, two that followed, and in the second sample an eighth one that was killed after rsync had fetched its
files. Names with blanks, newlines and bytes that are no UTF-8, hard links (made, broken up, of moved names), symlinks,
a fifo, a sparse file, extended attributes, times before 1970 and after 2106 are in them; beside the store lie its state
and the source.

    tar --create --numeric-owner --xattrs --acls --sparse --format=posix store state src | zstd -19
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.state_folder import state_file
from tests.support.fingerprint import compare, fingerprint
from tests.support.runner import Scene

SAMPLES = Path(__file__).parent / "samples"
FINISHED, INTERRUPTED = "store-460d740", "store-460d740-interrupted"
IDS = {
    FINISHED: ["2026-11-29T002250Z", "2026-11-29T002244Z", "2026-11-29T002233Z"],
    INTERRUPTED: ["2026-11-29T002408Z", "2026-11-29T002341Z", "2026-11-29T002250Z", "2026-11-29T002233Z"],
}
PINNED = "2026-11-29T002233Z"


@pytest.fixture(params=[FINISHED, INTERRUPTED])
def sample(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scene(sample: str, tmp_path: Path) -> Scene:
    """The sample, where its configuration is."""
    scene = Scene(tmp_path / "scene")
    for path in (scene.source, scene.store, scene.state):
        path.rmdir()
    subprocess.run(
        ["tar", "--extract", "--zstd", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls",
         f"--file={SAMPLES / sample}.tar.zst", f"--directory={scene.folder}"], check=True,
    )  # fmt: skip
    (scene.folder / "src").rename(scene.source)
    ours = state_file(load(scene.config), "").name  # its name is made of the store's place
    for path in list(scene.state.iterdir()):
        path.rename(path.with_name(ours + path.name.removeprefix(path.name.split(".")[0])))
    return scene


def test_it_is_read(scene: Scene, sample: str) -> None:
    listed = scene.command("list", "--json")
    assert listed.exit_code == 0, str(listed)
    assert [one["id"] for one in listed.json] == IDS[sample]
    assert [one["id"] for one in listed.json if one["pinned"]] == [PINNED]
    verified = scene.command("verify", "--full", "--json")
    assert verified.exit_code == 0, str(verified)
    [mirror] = verified.json["mirrors"]
    assert (mirror["findings"], mirror["snapshots"]) == ([], IDS[sample])
    found = scene.command("find", "etc/hosts", "--json")
    assert found.exit_code == 0 and found.json, str(found)
    told = scene.command("diff", PINNED, IDS[sample][0], "--json")
    assert told.exit_code == 0 and "etc/four" in told.stdout, str(told)
    state = scene.command("status", "--json").json
    assert [one["result"] for one in state["mirrors"]] == ["published"]
    assert len(scene.command("log", "--json").json) >= 5


def test_it_goes_on(scene: Scene, sample: str) -> None:
    before = {name: fingerprint(tree) for name, tree in scene.published().items()}
    assert list(before) == IDS[sample]
    inode = (scene.home / "backup.1/big").stat().st_ino
    nights = []
    for number in range(3):
        (scene.source / "etc/hosts").write_text(f"night {number}\n")
        (scene.source / f"new {number}").write_text("new\n")
        for changed in ("etc/hosts", f"new {number}", "etc", "."):  # nights are quicker than a second, which rsync sees
            os.utime(scene.source / changed, (1_750_000_000 + number, 1_750_000_000 + number))
        night = scene.night("--json")
        nights.append(night.mirror["snapshot"])
        assert compare(fingerprint(scene.source), fingerprint(scene.home / "backup.1")) == []
        kept = {name: tree for name, tree in scene.published().items() if name in before}
        for name, tree in kept.items():
            assert compare(before[name], fingerprint(tree)) == [], name
    assert list(scene.published()) == [*reversed(nights), PINNED]
    assert (scene.home / "backup.1/big").stat().st_ino == inode, "what has not changed is shared"
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, str(verified)
    target = scene.folder / "restored"
    restored = scene.command("restore", PINNED, "etc", "--to", target, "--yes")
    assert restored.exit_code == 0, str(restored)
    assert compare(fingerprint(scene.published()[PINNED] / "etc"), fingerprint(target / "etc")) == []


def test_what_an_interrupted_night_had_fetched_is_not_sent_again(scene: Scene, sample: str) -> None:
    if sample == FINISHED:
        assert not (scene.home / ".snapmirror/slot").exists()
        return
    night = scene.night("--json")
    assert night.mirror["bytes_transferred"] == 0, str(night)
    assert (scene.home / "backup.1/six").read_text() == "seven\n"
