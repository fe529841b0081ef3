"""What was planned moves from the staging tree into the slot, and nothing else; unplanned names are found."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from snapmirror.snapshots.lines import Numbered
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.staging import Arrived, place, strays
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
@given(TREES, TREES, st.sets(NAMES, max_size=3), st.integers(1, 3))
def test_a_slot_becomes_the_source(old: dict[str, str], new: dict[str, str], unread: set[str], several: int) -> None:
    """All that differs is planned, and comes in several trees; what did not come stays, if it was not planned, or
    goes."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        build(folder / "old", old, folder)
        build(folder / "new", new, folder)
        before, after = lines(folder / "old"), lines(folder / "new")
        slot = folder / "slot"
        subprocess.run(["cp", "-al", folder / "old", slot], check=True)
        plan = Plan("2026-11-20T030000Z", 2)
        plan.delete = [Numbered(NUMBER + line) for path, line in before.items() if after.get(path) != line]
        gone = {name.encode() for name in unread if after.get(name.encode(), b"")[1:2] == b"f"}
        arrived = brought(folder, [path for path in after if path not in gone], after, several)
        sealed = seen(folder / "old")
        assert place(plan, arrived, slot, gone) == set()
        assert seen(folder / "old") == sealed, "history"
        assert lines(slot) == {path: line for path, line in after.items() if path not in gone}
        for path in lines(slot):
            ours, told = os.lstat(slot / os.fsdecode(path)), os.lstat(folder / "new" / os.fsdecode(path))
            assert (ours.st_mode, ours.st_mtime_ns, ours.st_size) == (told.st_mode, told.st_mtime_ns, told.st_size)


def brought(folder: Path, paths: list[bytes], after: dict[bytes, bytes], several: int) -> list[Arrived]:
    """The names in some trees, as rsyncs leave them: each with the folders that lead there, in their final state."""
    arrived = []
    for number in range(several):
        tree, folders = folder / f"tree{number}", set[bytes]()
        tree.mkdir()
        for path in paths[number::several]:
            above = [b"/".join(path.split(b"/")[:depth]) for depth in range(1, path.count(b"/") + 1)]
            for one in [*above, *([path] if after[path][1:2] == b"d" else [])]:
                (tree / os.fsdecode(one)).mkdir(exist_ok=True)
                folders.add(one)
            if after[path][1:2] != b"d":
                shutil.copy2(folder / "new" / os.fsdecode(path), tree / os.fsdecode(path))
        for one in sorted(folders, reverse=True):
            shutil.copystat(folder / "new" / os.fsdecode(one), tree / os.fsdecode(one))
        arrived.append(Arrived(tree, frozenset(folders)))
    return arrived


@given(TREES, NAMES, st.sampled_from(["file", "folder", "symlink", "fifo"]))
def test_a_name_that_was_not_asked_for_is_found(asked: dict[str, str], stray: str, kind: str) -> None:
    with tempfile.TemporaryDirectory() as text:
        tree = Path(text) / "tree"
        build(tree, asked, tree)
        present = set(lines(tree))
        assert strays(tree, present, ()) == []
        files = {path for path in present if (tree / os.fsdecode(path)).is_file()}
        lead = {b"/".join(path.split(b"/")[:depth]) for path in files for depth in range(1, path.count(b"/") + 1)}
        if files | lead == present:
            assert strays(tree, files, ()) == [], "folders that lead to what was asked for"
        place_of_it = tree / stray
        if stray.encode() in present or not place_of_it.parent.is_dir():
            return
        build(tree, {stray: kind}, tree)
        assert strays(tree, present, ()) == [stray.encode()]
        is_way = kind == "folder"
        assert strays(tree, present, [stray.encode() + b"/missing"]) == ([] if is_way else [stray.encode()])
        assert strays(tree, present, [stray.encode()]) == [stray.encode()]
