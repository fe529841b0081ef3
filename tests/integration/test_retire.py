"""retire: the whole history of a mirror goes, nothing else does; what is cut off is completed, or never began.

SNAPMIRROR_TEST_LONG=1    a kill at every call, more power cuts
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from tests.conftest import Figures
from tests.support import crash, powercut
from tests.support.files import put
from tests.support.fingerprint import Fingerprint, fingerprint
from tests.support.runner import LONG, Scene
from tests.support.scenes import copy_of
from tests.support.storage import TINY, stack_image

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="devices and mounts need root")
KILLS, BETWEEN, MOST = (1_000_000, 40, 1_000_000) if LONG else (2, 8, 6)
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
RETIRE = ("web", "--accept-changes", "--yes")
NOTES = ".snapmirror-retired.json"


def lived(scene: Scene, nights: int = 3) -> None:
    """`web` with some snapshots, and `other`, which is no longer in the configuration."""
    put(scene.source / "etc" / "fstab", b"stays")
    os.link(scene.source / "etc" / "fstab", scene.source / "alias")
    scene.name = "other"
    scene.configure(keep_last=3)
    scene.night()
    scene.name = "web"
    scene.configure()
    for night in range(nights):
        put(scene.source / "changing", b"version %d" % night, 1_600_000_000 + night)
        scene.night()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    scene = Scene(tmp_path_factory.mktemp("sealed"))
    lived(scene, nights=4)  # one snapshot is parked
    yield scene
    scene.release()


@pytest.fixture
def scene(sealed: Scene, tmp_path: Path) -> Scene:
    return copy_of(sealed, tmp_path / "scene", keep_last=3)


def history(scene: Scene, name: str) -> Fingerprint | None:
    """Everything in a mirror's folder; None without one."""
    home = scene.store / name
    return fingerprint(home) if home.exists() else None


def is_unwritten(name: str) -> bool:
    """Whether this is a note that was being written when all ended; the next one removes it."""
    return name.startswith(f".{NOTES}.")


def test_a_history_goes_and_all_else_stays(scene: Scene) -> None:
    scene.sections["report"] = {"metrics_file": str(scene.folder / "metrics"), "json_file": str(scene.folder / "last")}
    scene.configure()
    put(scene.source / "changing", b"last version", 1_700_000_000)
    scene.night()
    other, ids = history(scene, "other"), list(scene.published())
    assert 'mirror="web"' in (scene.folder / "metrics").read_text()
    before = history(scene, "web")
    trial = scene.command("retire", "web", "--dry-run", "--accept-changes")
    assert trial.exit_code == 0 and f"- all of web: 3 snapshots, {ids[-1]} … {ids[0]}" in trial.stdout, str(trial)
    assert history(scene, "web") == before
    result = scene.command("retire", *RETIRE)
    assert result.exit_code == 0 and "remove the section of web" in result.stderr, str(result)
    assert history(scene, "other") == other
    assert sorted(os.listdir(scene.store)) == [".snapmirror-retired.json", ".snapmirror.lock", "other"]
    [note] = json.loads((scene.store / NOTES).read_text())["retired"]
    assert (note["mirror"], note["snapshots"]) == ("web", ids) and note["by"] and note["at"], note
    for path in (*scene.state.iterdir(), scene.folder / "metrics", scene.folder / "last"):
        assert "web" not in path.read_text() or path.suffix in (".lock", ".nights"), path
    [status] = scene.command("status", "--json").json["mirrors"]
    assert status["last_success_at"] is None and status["last_run_at"] is None
    night = scene.night()  # the machine does not miss what was the newest
    assert night.mirror["warnings"] == [] and len(scene.published()) == 1
    assert scene.command("verify", "--full").exit_code == 0


def test_a_history_without_a_section(scene: Scene) -> None:
    web = history(scene, "web")
    for words in (["list"], ["status"]):
        assert "to remove it: snapmirror retire NAME" in scene.command(*words).stderr
    assert "snapmirror retire NAME" in scene.command("doctor").stdout
    result = scene.command("retire", "other", "--accept-changes", "--yes", "--json")
    assert result.exit_code == 0 and result.json["in_configuration"] is False, str(result)
    assert "section" not in result.stderr
    assert history(scene, "other") is None and history(scene, "web") == web
    assert "section" not in scene.command("list").stderr + scene.command("status").stderr
    assert scene.command("doctor").exit_code == 0


def test_what_is_refused(scene: Scene) -> None:
    ids = list(scene.published())
    scene.command("pin", ids[1])
    before = history(scene, "web"), history(scene, "other")
    for words, code, says in (
        (["web", "--yes", "--accept-changes"], 2, f"{ids[1]} is pinned"),
        (["web", "--yes", "--with-pinned"], 13, "web was backed up lately"),
        (["web", "--with-pinned", "--accept-changes"], 2, "no terminal"),
        (["nobody", "--yes"], 2, "it holds those of other, web"),
        (["..", "--yes"], 2, "no history"),
        ([".", "--yes"], 2, "no history"),
        (["web/backup.1", "--yes"], 2, "no history"),
        (["web", "--with-pinned", "--accept-changes", "--dry-run"], 0, ""),
    ):
        result = scene.command("retire", *words)
        assert result.exit_code == code and says in result.stderr, str(result)
    assert (history(scene, "web"), history(scene, "other")) == before
    record = scene.home / ".snapmirror" / "record.json"
    good = record.read_bytes()
    record.write_bytes(b"{")
    result = scene.command("retire", "web", "--yes", "--with-pinned")
    assert result.exit_code == 13 and "it is unknown what is pinned" in result.stderr, str(result)
    record.write_bytes(good)
    scene.command("unpin", ids[1])
    for name in ("mine", "backup.old"):
        (scene.home / name).mkdir()
        result = scene.command("retire", *RETIRE)
        assert result.exit_code == 11 and "was not made by snapmirror" in result.stderr, str(result)
        (scene.home / name).rmdir()
    elsewhere = scene.folder / "elsewhere"
    put(elsewhere / "file", b"precious")
    place = scene.home / "backup.2" / "etc"
    subprocess.run(["mount", "--bind", elsewhere, place], check=True)
    try:
        result = scene.command("retire", *RETIRE)
        assert result.exit_code == 11 and f"is mounted on {place}" in result.stderr, str(result)
    finally:
        subprocess.run(["umount", place], check=True)
    assert (elsewhere / "file").exists() and len(scene.published()) == 3
    assert scene.command("verify", "--full").exit_code == 0


def test_a_damaged_history_and_a_pinned_one(scene: Scene) -> None:
    """Who says that it is meant is not held up by what cannot be read."""
    scene.command("pin", "newest")
    (scene.store / "other" / ".snapmirror" / "record.json").write_bytes(b"{")
    for name in ("web", "other"):
        result = scene.command("retire", name, "--accept-changes", "--with-pinned", "--yes")
        assert result.exit_code == 0 and history(scene, name) is None, str(result)
    assert len(json.loads((scene.store / NOTES).read_text())["retired"]) == 2


def test_what_a_store_says_of_removals_is_not_believed(scene: Scene) -> None:
    """Who holds the store could have anything removed by it, and have the machine forget which was the newest."""
    put(scene.folder / "precious" / ".snapmirror" / "file", b"precious")
    before = history(scene, "web")
    for mirror in ("../precious", "..", "/", "web"):
        note = {"removing": {"mirror": mirror, "at": "", "by": ""}}
        (scene.store / NOTES).write_text(json.dumps(note))
        (scene.store / ".snapmirror-retired.web").mkdir(exist_ok=True)
        result = scene.command("pin", "newest")
        assert result.exit_code == (0 if mirror == "web" else 11), str(result)
        assert (scene.folder / "precious" / ".snapmirror" / "file").exists()
    scene.command("unpin", "newest")
    after = history(scene, "web")
    assert before is not None and after is not None and before.keys() == after.keys()
    assert "web" in json.loads(next(scene.state.glob("*.newest.json")).read_text())["mirrors"]


def test_killed_at_any_point(sealed: Scene, tmp_path: Path, figures: Figures) -> None:
    """The history is as it was, or gone with all that was remembered of it, after the next command that writes."""
    before, other = history(sealed, "web"), history(sealed, "other")
    calls = [*crash.RENAMES, *crash.FLUSHES, "unlink", "unlinkat", "rmdir"]
    found, result = crash.points(copy_of(sealed, tmp_path / "trial", keep_last=3), calls, *RETIRE, command="retire")
    assert result.exit_code == 0, str(result)
    chosen = [
        point
        for call in sorted({point.call for point in found})
        for point in crash.spread([one for one in found if one.call == call], KILLS)
    ]
    ends = {"undone": 0, "completed": 0}
    hit = 0
    for number, point in enumerate(chosen):
        scene = copy_of(sealed, tmp_path / f"kill{number}", keep_last=3)
        hit += crash.killed_at(scene, point, *RETIRE, command="retire").exit_code in KILLED
        begun = not scene.home.exists()
        unlisted = scene.command("list").stderr
        assert "other" in unlisted and ".snapmirror-retired" not in unlisted
        scene.command("forget", "99", "--yes", "--mirror", "web")  # there is none, but what was begun is completed
        assert history(scene, "other") == other, point
        assert history(scene, "web") == (None if begun else before), f"{point}: {crash.last_call(scene)}"
        rest = set(os.listdir(scene.store)) - {"other", "web", NOTES, ".snapmirror.lock"}
        assert all(not begun and is_unwritten(name) for name in rest), f"{point}: {rest}"
        notes = json.loads((scene.store / NOTES).read_text()) if (scene.store / NOTES).exists() else {}
        assert notes.get("removing") is None and len(notes.get("retired", [])) == begun, f"{point}: {notes}"
        put(scene.source / "changing", b"one more", 1_700_000_000)
        scene.night()
        assert len(scene.published()) == (1 if begun else 3), str(point)
        assert scene.command("verify", "--full").exit_code == 0, str(point)
        ends["completed" if begun else "undone"] += 1
        shutil.rmtree(scene.folder)
    assert hit > len(chosen) // 2 and all(ends.values()), ends
    figures.add(f"kills of retire: {hit} of {len(found)} points tried, {ends['completed']} completed, 0 lost")


def test_a_power_cut(folder: Path, figures: Figures) -> None:
    scene = Scene(folder / "scene", image=stack_image(folder, "none", "xfs"))
    scene.configure(keep_last=3)
    initialise(load(scene.config), workload=TINY)
    lived(scene)
    with open_store(load(scene.config), read_only=True):
        before, other = history(scene, "web"), history(scene, "other")
    image, base = Path(scene.image["file"]), folder / "before.img"
    image.rename(base)
    subprocess.run(["cp", "--archive", scene.state, folder / "state"], check=True)
    with powercut.recorded(base, folder / "writes.log", image):
        assert scene.command("retire", *RETIRE).exit_code == 0
    subprocess.run(["cp", "--archive", scene.state, folder / "state after"], check=True)
    log = powercut.Log(folder / "writes.log")
    ends = {"before": 0, "completed": 0}
    try:
        cuts = crash.spread(log.cuts(random.Random("retire"), BETWEEN), MOST)
        for number, (cut, disk) in enumerate(powercut.disks(log, base, cuts, folder)):
            disk.rename(image)
            shutil.rmtree(scene.state)
            shutil.copytree(folder / ("state" if number % 2 else "state after"), scene.state)
            scene.command("forget", "99", "--yes", "--mirror", "web")  # there is none, but what was begun is completed
            with open_store(load(scene.config), read_only=True):
                now = history(scene, "web")
                assert history(scene, "other") == other, f"cut {number}, {cut}"
                names = set(os.listdir(scene.store))
            rest = {name for name in names if now is None or not is_unwritten(name)}
            assert now in (None, before) and rest <= {"web", "other", NOTES}, f"cut {number}, {cut}: {names}"
            ends["completed" if now is None else "before"] += 1
            if now is not None:
                assert scene.command("verify", "--full").exit_code == 0, f"cut {number}, {cut}"
    finally:
        log.close()
    assert all(ends.values()), ends
    figures.add(f"power cuts while retiring: {sum(ends.values())} tried, {ends['completed']} completed, 0 lost")
