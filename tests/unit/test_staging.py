"""What was planned moves from the staging tree into the slot, and nothing else; unplanned names are found."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.staging import place, strays
from tests.unit.test_slot import build, seen

NUMBER = b"0000001 "
FOLDER = b"cd+++++++++|rwxr-xr-x|0|0|0|2026/11/20-03:00:00|//%s/"
FILE = b">f+++++++++|rw-r--r--|0|0|1|2026/11/20-03:00:00|//%s"
NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(NAMES, st.sampled_from(["file", "folder"]), max_size=8)


def lines(root: Path) -> dict[bytes, bytes]:
    """Entry lines of a tree of files and folders, in a plan's order: a folder before what is in it."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders:
            path = os.path.relpath(os.path.join(folder, name), root).encode()
            found[path] = FOLDER % path
        for name in files:
            path = os.path.relpath(os.path.join(folder, name), root).encode()
            found[path] = FILE % path
    return dict(sorted(found.items()))


@settings(max_examples=100)
@given(TREES, TREES, st.sets(NAMES, max_size=3))
def test_a_slot_becomes_the_source(old: dict[str, str], new: dict[str, str], unread: set[str]) -> None:
    """All that differs is planned; of what did not come, files that are kept stay as they were, others go."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        build(folder / "old", old, folder)
        build(folder / "new", new, folder)
        before, after = lines(folder / "old"), lines(folder / "new")
        slot, staging = folder / "slot", folder / "staging"
        os.system(f"cp -al {folder}/old {slot}; cp -a {folder}/new {staging}")  # noqa: S605
        plan = Plan("2026-11-20T030000Z", 2)
        plan.delete = [NUMBER + line for path, line in before.items() if after.get(path) != line]
        for path, line in after.items():
            plan.transfer.append((NUMBER + line if before.get(path) == line else None, line))
        kept = {name.encode() for name in unread} & {path for path, line in after.items() if before.get(path) == line}
        kept = {path for path in kept if after[path][1:2] == b"f"}
        sealed = seen(folder / "old")
        assert place(plan, staging, slot, kept) == set()
        assert seen(folder / "old") == sealed, "history"
        assert not staging.exists()
        assert lines(slot) == after
        for path in after:
            ours, told = os.lstat(slot / os.fsdecode(path)), os.lstat(folder / "new" / os.fsdecode(path))
            if path in kept:
                assert ours.st_ino == os.lstat(folder / "old" / os.fsdecode(path)).st_ino
            else:
                assert (ours.st_mode, ours.st_mtime_ns, ours.st_size) == (told.st_mode, told.st_mtime_ns, told.st_size)


@given(TREES, NAMES, st.sampled_from(["file", "folder", "symlink", "fifo"]))
def test_a_name_that_was_not_planned_is_found(planned: dict[str, str], stray: str, kind: str) -> None:
    with tempfile.TemporaryDirectory() as text:
        staging = Path(text) / "staging"
        build(staging, planned, staging)
        asked = lines(staging)
        plan = Plan("2026-11-20T030000Z", 2)
        plan.transfer.extend((None, line) for line in asked.values())
        assert strays(staging, plan, len(asked), set()) == []
        place_of_it = staging / stray
        if stray.encode() in asked or not place_of_it.parent.is_dir():
            return
        build(staging, {stray: kind}, staging)
        assert strays(staging, plan, len(asked), set()) == [stray.encode()]


def test_folders_that_lead_to_a_planned_name_are_no_strays(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").touch()
    plan = Plan("2026-11-20T030000Z", 2)
    plan.transfer.append((None, FILE % b"a/b/c"))
    assert strays(tmp_path, plan, 1, {b"a", b"a/b"}) == []
