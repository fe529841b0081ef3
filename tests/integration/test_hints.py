"""The next slot is made with the help of hints: they spare looking into the newest snapshot, and are never believed.

SNAPMIRROR_TEST_LONG=1    each way of being wrong for five nights instead of two
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.snapshots import checksums, packed
from snapmirror.snapshots.entry import escape, parse
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.hardlink.shortcuts import handles as kept_handles
from snapmirror.snapshots.lines import Line
from snapmirror.snapshots.names import Tree as NameTree
from snapmirror.snapshots.spool import Spool
from snapmirror.storage.initialise import initialise
from snapmirror.storage.open_store import open_store
from snapmirror.tools import handles
from tests.support.files import put
from tests.support.nights import live_a_day, random_changes, random_kinds
from tests.support.runner import LONG, History, Scene
from tests.support.storage import TINY, stack_image
from tests.support.trees import Tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="file handles and loop devices need root")
KEEP = 2
Known = dict[bytes, bytes]


@pytest.fixture(params=["xfs", "ext4"])
def scene(folder: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene(folder / "scene", image=stack_image(folder, "none", request.param))
    scene.configure(keep_last=KEEP)
    initialise(load(scene.config), workload=TINY)
    yield scene


def notes(scene: Scene, what: str = "hints") -> list[Path]:
    return sorted((scene.home / ".snapmirror" / what).iterdir())


def test_a_night_asks_the_store_only_for_what_has_changed(scene: Scene) -> None:
    tree, history, source = Tree(scene.source), History(scene), scene.source / "changed"
    put(scene.source / "unchanged/file", b"0")
    log = scene.folder / "log"
    for night in range(KEEP + 4):
        for name in ("deep/below/file", "twin"):
            put(source / name, b"%d" % night, 1_000_000 + night)
        (source / "twin.2").unlink(missing_ok=True)
        os.link(source / "twin", source / "twin.2")
        (source / "link").unlink(missing_ok=True)
        (source / "link").symlink_to(f"night {night}")
        shutil.rmtree(source / f"of night {night - 1}", ignore_errors=True)
        (source / f"of night {night}").mkdir()
        (source / "deep").chmod(0o700 + night)
        tree.settle()
        trace = ["strace", "--follow-forks", "--trace=%file,fsync,syncfs", "--decode-fds=path", f"--output={log}"]
        result = scene.command("run", "--json", under=trace)
        assert result.exit_code == 0, str(result)
        with scene.browsing():
            history.check()
            history.check_newest(tree.fingerprint())
        tree.published()
    calls = log.read_text(errors="replace").splitlines()
    assert [line for line in calls if "backup.1/changed" in line] == []
    assert any("linkat(" in line for line in calls)
    opened = {line.partition("/manifests/")[2][:18] for line in calls if "/manifests/" in line and "O_RDONLY" in line}
    assert len(opened) == 1, "but the newest's, for the plan, none is read: the changes of the nights say what differs"
    flushed = [line for line in calls if "sync" in line.partition("(")[0] and f"<{scene.home}" in line]
    assert [line.split()[1].partition("(")[0] for line in flushed] == [
        "fsync",  # of the slot's name, so that XFS has nothing to catch up with later
        "syncfs",  # of all at once
        "fsync",  # of the record's name
    ]
    with scene.browsing():  # those of the snapshots since the parked one
        assert len(notes(scene)) == len(notes(scene, "changes")) == KEEP


def rewrite(change: Callable[[Known], Known]) -> Callable[[Path], None]:
    def rewritten(file: Path) -> None:
        known = dict(checksums.read(file))
        of_the_store = known.pop(b"/")  # stays true: it is the other hints that are wrong
        changed = {b"/": of_the_store, **change(known)}
        file.write_bytes(packed.pack(Spool((hint, escape(path)) for path, hint in changed.items())))

    return rewritten


def anothers(known: Known) -> Known:
    hints = list(known.values())
    return dict(zip(known, [*hints[1:], *hints[:1]], strict=True))


def of_what_is_gone(file: Path) -> None:
    victim = file.with_name("victim")
    victim.touch()
    gone = b"i" + handles.handle_of(os.fsencode(victim))
    victim.unlink()
    rewrite(lambda known: dict.fromkeys(known, gone))(file)


def garbage(file: Path) -> None:
    file.write_bytes(b"garbage")


NONSENSE = (
    b"i",
    b"i1",
    b"i1.0",
    b"i1.zz",
    b"ix.00",
    b"i1." + b"00" * 500,
    b"d",
    b"d1.2",
    b"d9.0.0.0",
    b"d.0.0.x",
    b"?",
)
SPOILED: dict[str, Callable[[Path], None]] = {
    "missing": lambda file: file.unlink(),
    "no such file": garbage,
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
    "another's": rewrite(anothers),
    "of what is gone": of_what_is_gone,
    "nonsense": rewrite(lambda known: {path: random.Random(path).choice(NONSENSE) for path in known}),
    "of another mode": rewrite(lambda known: {path: b"d1" + hint[2:] for path, hint in known.items()}),
    "of another time": rewrite(lambda known: {path: hint[:-10] for path, hint in known.items()}),
}


def test_hints_and_lists_of_changes_that_are_wrong_cost_nothing(scene: Scene) -> None:
    """Each way of being wrong in turn, in one history: first all notes are spoiled, then all but the newest."""
    ways = [("hints", how) for how in SPOILED] + [("changes", how) for how in ("missing", "no such file", "cut")]
    rng = random.Random(f"spoiled {scene.image['filesystem']}")
    tree, history = Tree(scene.source), History(scene)
    for way in (None, *ways):
        tree.grow(random_kinds(rng, 6 if way else 30))
        spoils = 0 if way is None else 3 if LONG else 1
        for turn in range(spoils + KEEP - 1 if way else KEEP + 2):  # at their end all notes are of these nights
            if way and turn < spoils:
                with open_store(load(scene.config)):
                    assert turn or len(notes(scene, way[0])) == KEEP
                    for file in notes(scene, way[0]):
                        SPOILED[way[1]](file)
            live_a_day(tree, random_changes(rng, 8))
            scene.night("--full", "--accept-changes", expect=(0, 3))
            tree.published()
            with open_store(load(scene.config), read_only=True):
                history.check(where=f" by night {turn} after {way}")
                history.check_newest(tree.fingerprint(), full=True)
    verified = scene.command("verify", "--full")
    assert verified.exit_code == 0, str(verified)


def test_a_copy_of_a_store_shares_nothing_with_the_original(folder: Path) -> None:
    """On one file system the original's handles are valid, and lead to inodes that look alike."""
    original, copy = (Scene(folder / name) for name in ("original", "copy"))
    original.configure(keep_last=KEEP)
    for night in range(KEEP + 2):
        put(original.source / "each night", b"%d" % night)
        put(original.source / f"of night {night}", b"the same size")
        original.night()
    shutil.rmtree(copy.store)
    subprocess.run(["cp", "--archive", str(original.store), str(copy.store)], check=True)
    copy.configure(keep_last=KEEP, source=f"{original.source}/")
    for _ in range(KEEP + 1):
        copy.night()
    files = [
        {path.lstat().st_ino for path in scene.store.rglob("*") if path.is_file() and not path.is_symlink()}
        for scene in (original, copy)
    ]
    assert files[0] and files[1] and not files[0] & files[1]


def test_of_a_time_that_cannot_be_nothing_is_known(tmp_path: Path) -> None:
    """A server may list any year; some file systems really have such files."""
    layout = HardlinkLayout(tmp_path)
    layout.make()
    layout.slot.mkdir()
    put(tmp_path / "file", b"")
    handle = b"i" + handles.handle_of(os.fsencode(tmp_path / "file"))
    store = b"s" + handles.handle_of(os.fsencode(layout.handles(7).parent))
    hints = [(store, b"/"), (handle, b"file"), (b"d755.0.0.0", b"folder")]
    layout.handles(7).write_bytes(packed.pack(Spool(hints)))
    with kept_handles.opened(layout) as known:
        file = parse(Line(b">f+++++++++|rw-r--r--|0|0|0|33658/09/27-01:46:39|//file"))
        folder = parse(Line(b"cd+++++++++|rwxr-xr-x|0|0|4096|33658/09/27-01:46:39|//folder/"))
        assert not known.link(7, file, NameTree(layout.slot))
        assert known.folder(7, folder) is None
        assert known.folder(7, parse(Line(folder.line.replace(b"33658/09/27-01:46:39", b"1970/01/01-00:00:00"))))
