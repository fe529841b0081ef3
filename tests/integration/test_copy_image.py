"""`copy-image` on real images and real disks: what it costs, what it leaves when it is killed at any call, or fails.

The destination is a folder here; kernel cifs and a second share are in tests/e2e/test_nights.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.copying import UPDATE_LIST, WHOLE, Copying, by_hand, sum_of, whole_copy
from tests.support.crash import FLUSHES, RENAMES, WRITES, Point, failing_at, killed_at, last_call, points, spread
from tests.support.fingerprint import compare, fingerprint
from tests.support.full import small_volume
from tests.support.runner import LONG, Scene
from tests.support.storage import copy_image

CALLS = (*WRITES, *FLUSHES, *RENAMES, "unlink", "fallocate", "utimensat")
TRANSIENT = ("store.img.incomplete", "store.img.update", UPDATE_LIST)


@pytest.fixture
def copying(tmp_path: Path) -> Iterator[Copying]:
    made = Copying(tmp_path / "scene")
    try:
        yield made
        assert made.scene.leftovers() == []
    finally:
        made.scene.release()


def taken(file: Path) -> int:
    return file.stat().st_blocks * 512


def test_a_copy_costs_what_differs_and_opens_with_the_same_history(copying: Copying, tmp_path: Path) -> None:
    assert copying.report("--dry-run")["result"] == "planned"
    assert copying.names() == set()
    copying.scene.night()
    first = copying.report()
    assert (first["result"], first["verified_bytes"]) == ("made", first["changed_bytes"])
    assert sum_of(copying.copy) == sum_of(copying.image)
    assert taken(copying.copy) <= taken(copying.image)
    assert copying.names() == WHOLE

    again = copying.report()
    assert (again["result"], again["written_bytes"], again["compared_bytes"]) == ("unchanged", 0, 0)

    copying.write("file3", 3_000_000)
    before = copying.image.with_name("before")
    copy_image(copying.image, before)
    copying.scene.night()
    planned = copying.report("--dry-run")
    second = copying.report()
    assert (second["result"], second["changed_bytes"]) == ("updated", planned["changed_bytes"])
    assert sum_of(copying.copy) == sum_of(copying.image)
    assert second["changed_bytes"] == differing_bytes(before, copying.image)
    costs = 2 * differing_bytes(before, copying.image)
    assert second["written_bytes"] == costs + second["former_bytes"], "the journal, the copy, and what was replaced"  # type: ignore[operator]
    assert second["former_bytes"] <= costs / 2  # type: ignore[operator]
    assert sum_of(by_hand(copying.disk, *copying.former())) == sum_of(before)
    assert copying.names() == WHOLE

    opened = Scene(tmp_path / "other", image=copying.scene.image | {"file": str(copying.copy)})
    with copying.scene.browsing():
        days = {name: fingerprint(path) for name, path in copying.scene.published().items()}
    with opened.browsing():
        for name, path in opened.published().items():
            assert compare(days.pop(name), fingerprint(path)) == []
    assert not days
    assert opened.leftovers() == []
    copying.report()  # both were mounted, which writes a little into either
    assert sum_of(copying.copy) == sum_of(copying.image)


def differing_bytes(one: Path, other: Path, block: int = 64 << 10) -> int:
    """What differs between two files, in blocks that hold data in the second, by another way than the product's."""
    total = 0
    with one.open("rb") as first, other.open("rb") as second:
        while piece := second.read(block):
            if piece != first.read(block) and piece.strip(b"\0"):
                total += len(piece)
    return total


def test_space_that_was_given_back_is_given_back_by_the_copy(copying: Copying) -> None:
    copying.write("big", 30_000_000)
    copying.scene.configure(keep_last=1)
    copying.scene.night()
    copying.report()
    full = taken(copying.copy)
    (copying.scene.source / "big").unlink()
    copying.scene.night()
    copying.write("file1")
    copying.scene.night()  # the first snapshot has expired, and was trimmed
    report = copying.report()
    assert isinstance(report["cleared_bytes"], int)
    assert report["cleared_bytes"] > 25_000_000
    assert full - taken(copying.copy) > 25_000_000
    assert sum_of(copying.copy) == sum_of(copying.image)


def test_killed_at_any_call_the_old_copy_or_the_new_one_is_there(copying: Copying, tmp_path: Path) -> None:
    """At each point: what has the copy's name is whole; what waits can be applied by dd; the next run ends it."""
    copying.scene.night()
    after_first, old = tmp_path / "after-first", None
    for round_ in ("first copy", "update"):
        found, result = points(copying.scene, CALLS, str(copying.disk), command="copy-image")
        assert result.exit_code == 0, str(result)
        new = sum_of(copying.image)
        seen = set()
        for number, point in enumerate(found if LONG else some(found)):
            shutil.rmtree(copying.disk)
            shutil.copytree(after_first, copying.disk, copy_function=whole_copy) if old else copying.disk.mkdir()
            killed = killed_at(copying.scene, point, str(copying.disk), command="copy-image")
            where = f"{round_}: {point}: {last_call(copying.scene)}"
            if copying.copy.exists():
                assert sum_of(copying.copy) in {old, new}, where
            if copying.former() and number % 3 == 0:
                assert sum_of(by_hand(copying.disk, *copying.former())) == old, where
            seen.add((copying.copy.exists(), *(name in copying.names() for name in TRANSIENT)))
            if UPDATE_LIST in copying.names() and number % 2:
                assert sum_of(by_hand(copying.disk)) == new, where
            elif killed.exit_code:
                assert copying.copy.exists() or not old or UPDATE_LIST in copying.names(), where
            assert copying.copying().exit_code == 0, where
            assert sum_of(copying.copy) == new, where
            assert copying.names() == WHOLE, where
            assert len(copying.former()) == (1 if old else 0), where
        if old is None:
            assert (False, True, False, False) in seen, "killed with an incomplete first copy"
            old = new
            shutil.copytree(copying.disk, after_first, copy_function=whole_copy)
            copying.write("file5", 2_000_000)
            copying.scene.night()
        else:
            assert {(True, False, True, False), (False, True, True, True)} <= seen, seen
            assert sum_of(by_hand(copying.disk, *copying.former())) == old


def some(found: list[Point]) -> list[Point]:
    """Every renaming, between which all states lie, and a few of the rest."""
    return [point for point in found if point.call in RENAMES] + spread(
        [point for point in found if point.call not in RENAMES], 8
    )


def test_a_signal_leaves_the_old_copy(copying: Copying) -> None:
    copying.scene.night()
    copying.report()
    old = sum_of(copying.copy)
    copying.write("file2", 20_000_000)
    copying.scene.night()
    found, _ = points(copying.scene, ["write"], str(copying.disk), "--dry-run", command="copy-image")
    stopped = killed_at(
        copying.scene, Point("write", len(found) + 3), str(copying.disk), signal="SIGTERM", command="copy-image"
    )
    assert stopped.exit_code == 143, str(stopped)
    assert sum_of(copying.copy) == old
    assert copying.names() == WHOLE


def test_a_full_disk(copying: Copying, tmp_path: Path) -> None:
    copying.scene.night()
    with small_volume(tmp_path / "small", 60) as volume:
        copying.disk = volume / "on-it"
        copying.disk.mkdir()
        filler = volume / "filler"
        filler.write_bytes(bytes(35 << 20))
        refused = copying.copying()
        assert refused.exit_code == 11
        assert "the disk has" in refused.stderr
        assert copying.names() == set(), "seen before anything was made"
        filler.unlink()
        copying.report()
        old = sum_of(copying.copy)
        copying.write("file7", 15_000_000)
        copying.scene.night()
        filler.write_bytes(bytes(12 << 20))
        refused = copying.copying()
        assert refused.exit_code == 11
        assert "the disk has" in refused.stderr
        assert sum_of(copying.copy) == old
        assert copying.report("--dry-run")["changed_bytes"] > 15_000_000  # type: ignore[operator]


def test_a_disk_that_fails_half_way(copying: Copying) -> None:
    """Somebody else fills it, or pulls it out: a sentence, the old copy, or what the next run finishes."""
    copying.scene.night()
    copying.report()
    old = sum_of(copying.copy)
    copying.write("file7", 3_000_000)
    copying.scene.night()
    for call, number, whole in (("fsync", 1, True), ("pwrite64", 2, False), ("fallocate", 1, True)):
        failed = failing_at(copying.scene, Point(call, number), "EIO", str(copying.disk), command="copy-image")
        if call == "fallocate":
            assert failed.exit_code == 0, "zeros are written where holes cannot be"
        else:
            assert failed.exit_code == 11, str(failed)
            assert "failed: " in failed.stderr
            assert copying.copy.exists() == whole
            assert not whole or sum_of(copying.copy) == old
    assert copying.report()["result"] == "unchanged"
    assert sum_of(copying.copy) == sum_of(copying.image)


def test_a_copy_that_decays_is_found_and_mended(copying: Copying) -> None:
    copying.scene.night()
    copying.report()
    status = copying.copy.stat()
    with copying.copy.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"decay")
    os.utime(copying.copy, ns=(status.st_mtime_ns, status.st_mtime_ns))  # as a disk decays: nobody wrote
    assert copying.report()["result"] == "unchanged", "it is not read every time"
    mended = copying.report("--full", code=3)
    assert (mended["result"], mended["repaired_bytes"]) == ("updated", 64 << 10)
    assert sum_of(copying.copy) == sum_of(copying.image)
    with copying.copy.open("r+b") as file:  # somebody wrote: it is read
        file.seek(1 << 20)
        file.write(b"by hand")
    os.utime(copying.copy)
    touched = copying.report()
    assert (touched["full"], touched["result"], touched["repaired_bytes"]) == (True, "updated", 0)
    assert sum_of(copying.copy) == sum_of(copying.image)
    for length in (100 << 20, copying.image.stat().st_size + 4096):
        os.truncate(copying.copy, length)
        assert copying.report()["full"]
        assert sum_of(copying.copy) == sum_of(copying.image)


def test_a_copy_after_the_night(copying: Copying) -> None:
    """It belongs to the run; where it fails, the night is as good as before, and that is said."""
    copying.scene.sections["copy"] = {"destination": str(copying.disk), "after_night": True}
    copying.scene.configure()
    assert "not copied yet" in copying.scene.command("status").stdout
    night = copying.scene.night()
    assert night.json["copy"]["result"] == "made"
    assert sum_of(copying.copy) == sum_of(copying.image)
    unplugged = copying.disk.with_name("unplugged")
    copying.disk.rename(unplugged)
    copying.write("file1")
    failed = copying.scene.command("--quiet", "run")
    assert failed.exit_code == 3, str(failed)
    assert "warning: the image was not copied: " in failed.stderr
    assert "hint: is the disk plugged in" in failed.stderr
    last = json.loads(next(copying.scene.state.glob("*.lock")).with_suffix(".json").read_text())
    assert last["mirrors"][0]["result"] == "published"
    assert last["copy"]["error"].endswith("is not there")
    told = copying.scene.command("status")
    assert told.exit_code == 3
    assert "the last copy of the image failed: " in told.stdout
    unplugged.rename(copying.disk)
    assert copying.scene.command("copy-image").exit_code == 0, "without an argument: that of the configuration"
    assert copying.scene.command("status").exit_code == 0
    assert sum_of(copying.copy) == sum_of(copying.image)


def test_what_is_refused(copying: Copying, tmp_path: Path) -> None:
    copying.scene.night()
    with copying.scene.browsing():
        refused = copying.copying()
        assert (refused.exit_code, "is open" in refused.stderr) == (11, True)
    assert copying.scene.command("copy-image").exit_code == 2
    assert copying.scene.command("copy-image", "usb").exit_code == 2
    assert copying.scene.command("copy-image", tmp_path / "unplugged").exit_code == 11
    assert copying.scene.command("copy-image", copying.image.parent).exit_code == 2
    (tmp_path / "link").symlink_to(copying.scene.store)
    for inside in (copying.scene.store, copying.scene.store / "folder", tmp_path / "link"):
        refused = copying.scene.command("copy-image", inside)
        assert (refused.exit_code, "lies inside store.path" in refused.stderr) == (2, True)
    bound = tmp_path / "bound"
    bound.mkdir()
    subprocess.run(["mount", "--bind", copying.scene.store, bound], check=True)
    try:
        refused = copying.scene.command("copy-image", bound)
    finally:
        subprocess.run(["umount", bound], check=True)
    assert (refused.exit_code, "lies inside store.path" in refused.stderr) == (2, True)
    assert list(copying.scene.store.iterdir()) == []
    stranger = copying.disk / "store.img"
    stranger.write_bytes(b"mine")
    assert copying.copying().exit_code == 11
    assert stranger.read_bytes() == b"mine"
    stranger.unlink()
    copying.report()
    other = Copying(tmp_path / "other")
    refused = other.scene.command("copy-image", copying.disk)
    assert (refused.exit_code, "is a copy of another image" in refused.stderr) == (11, True)
    assert sum_of(copying.copy) == sum_of(copying.image)
