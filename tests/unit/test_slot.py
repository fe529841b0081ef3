"""Whatever a failed night has left in the slot, it becomes the newest snapshot's tree again, inode for inode."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from threading import Event

from hypothesis import given, settings
from hypothesis import strategies as st

from snapmirror.snapshots.folder_attributes import restore
from snapmirror.snapshots.hardlink import prepare
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.hardlink.stage import stage
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.staging import place as put_in_place

NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
KINDS = st.sampled_from(["file", "folder", "symlink", "fifo", "shared", "twice"])
TREES = st.dictionaries(NAMES, KINDS, max_size=8)


def build(root: Path, tree: dict[str, str], other: Path) -> None:
    """Make entries; `shared` takes the inode that another tree has under that name, `twice` a second name of one."""
    root.mkdir(exist_ok=True)
    last: Path | None = None
    for name, kind in sorted(tree.items()):
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            continue
        if os.path.lexists(path):
            continue
        twin = other / name
        if kind == "folder":
            path.mkdir()
        elif kind == "symlink":
            path.symlink_to("nowhere")
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "shared" and os.path.lexists(twin) and not (twin.is_dir() and not twin.is_symlink()):
            os.link(twin, path, follow_symlinks=False)
        elif kind == "twice" and last is not None:
            os.link(last, path)
        else:
            path.write_text(f"{root.name} {name}")
            last = path
    for folder, _, _ in os.walk(root):
        os.utime(folder, (1000, 1000 + len(folder)))


def seen(root: Path) -> dict[str, tuple[object, ...]]:
    """Names with their inodes; folders with their times and modes."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(root):
        status = os.lstat(folder)
        found[os.path.relpath(folder, root)] = ("folder", status.st_mode, status.st_mtime_ns)
        for name in [*files, *(one for one in folders if os.path.islink(os.path.join(folder, one)))]:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = ("other", os.lstat(path).st_ino)
    return found


@settings(max_examples=200, deadline=None)
@given(TREES, TREES)
def test_a_slot_is_put_right_whatever_it_holds(snapshot: dict[str, str], left: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layout = HardlinkLayout(Path(folder))
        layout.private.mkdir()
        tree, place = layout.backup(1), layout.slot
        build(tree, snapshot, tree)
        build(place, left, tree)
        before = seen(tree)
        plan = Plan("2026-11-20T030000Z", 2)  # of a night in which nothing has changed
        prepared = prepare.repaired(tree, place, Event())
        assert all(prepared.leftovers.values()), "a leftover has a name"
        stage(plan, prepared, tree, layout, None)
        put_in_place(plan, [], place, frozenset())
        restore(plan, prepared.touched, tree, place)
        assert seen(place) == before == seen(tree)
