"""Nights of the ZFS store with a `zfs` that is a shell script: how its calls follow each other, without a pool.

What ZFS itself does is not told here: tests/contract runs in a guest that has it. A snapshot is a copy of the tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapmirror.config import load
from snapmirror.model import Silent
from snapmirror.night.night import Night, Options
from snapmirror.pipeline import Pipeline
from snapmirror.snapshots.zfs.history import ZfsHistory
from snapmirror.snapshots.zfs.slot import ZfsSlot
from snapmirror.state.report import MirrorReport
from snapmirror.storage.open_store import open_store
from tests.support.fingerprint import fingerprint
from tests.support.runner import Scene
from tests.support.trees import Tree

FAKE = """#!/bin/sh
# One dataset, p/store/web, which is mounted at {current}; a line of `snapshots` is a snapshot.
echo "$*" >>{folder}/calls
for last; do :; done
name=${{last#*@}}
case "$1 $*" in
"list "*" -t snapshot "*) cat {folder}/snapshots ;;
"get "*written*) echo 0 ;;
"get "*) printf 'web\\tlocal\\n' ;;
"holds "*) cat {folder}/holds ;;
"snapshot "*)
    printf '%s\\t0\\t0\\t0\\t0\\t%s\\n' "$last" "${{3#*=}}" >>{folder}/snapshots
    mkdir -p {current}/.zfs/snapshot/"$name"
    cp -a {current}/tree {current}/.zfs/snapshot/"$name"/ ;;
"destroy "*)
    if [ -e {folder}/busy ]; then echo "cannot destroy '$last': dataset is busy" >&2; exit 1; fi
    grep -v "^$last" {folder}/snapshots >{folder}/left
    mv {folder}/left {folder}/snapshots
    rm -r {current}/.zfs/snapshot/"$name" ;;
esac
"""


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene(tmp_path)
    scene.configure(keep_last=1)
    monkeypatch.setenv("PATH", str(scene.programs), prepend=":")
    for name in ("snapshots", "holds"):
        (scene.programs / name).touch()
    scene.fake_program("zfs", FAKE.format(folder=scene.programs, current=scene.home / "current"))
    scene.fake_program("zpool", "#!/bin/sh\n")
    scene.fake_program("mount", "#!/bin/sh\n")
    return scene


@contextmanager
def opened(scene: Scene) -> Iterator[tuple[ZfsHistory, Night]]:
    config = load(scene.config)
    with Pipeline() as pipeline:
        store = pipeline.hold("open the store", open_store(config))
        history = ZfsHistory("p/store", store.path, "web")
        yield history, Night(config.mirrors[0], store, history, Options(accept_changes=True), pipeline, Silent())


def a_night(scene: Scene) -> MirrorReport:
    with opened(scene) as (history, night):
        report = night.run()
        newest = history.snapshots()[0]
        assert (report.result, report.snapshot) == ("published", newest.id)
        assert fingerprint(history.mounted(newest)) == fingerprint(scene.source)
        assert history.manifest(newest).exists() and history.dated(newest).is_symlink()
        assert history.next_sequence() == newest.sequence + 1
    return report


def test_nights_of_a_dataset(scene: Scene) -> None:
    tree = Tree(scene.source)
    (scene.source / "folder").mkdir()
    for number in range(8):
        (scene.source / "folder" / f"{number}").write_text(f"{number}")
    tree.settle()
    first = a_night(scene)
    (scene.source / "folder" / "3").write_text("changed")
    (scene.source / "folder" / "4").unlink()
    tree.settle()
    (scene.programs / "busy").touch()
    second = a_night(scene)
    assert second.expired == [], "somebody holds it: it stays"
    with opened(scene) as (history, _):
        assert [one.id for one in history.snapshots()] == [second.snapshot, first.snapshot]
    (scene.programs / "busy").unlink()
    (scene.source / "folder" / "5").chmod(0o600)
    tree.settle()
    third = a_night(scene)
    assert third.expired == [second.snapshot, first.snapshot], "the next night ends what an earlier one could not"
    with opened(scene) as (history, _):
        [only] = history.snapshots()
        history.set_pinned(only, True)
        assert f"hold org.snapmirror:pin p/store/web@{only.id}" in (scene.programs / "calls").read_text()
        assert sorted(path.name for path in (scene.home / "by-date").iterdir()) == [only.id]
        history.forget([only])
        assert history.snapshots() == [] and not history.manifest(only).exists()


def test_what_zfs_cannot_do_is_no_method(scene: Scene) -> None:
    with opened(scene) as (history, night):
        assert (history.healing, history.purging, history.unfinished) == (None, None, False)
        assert isinstance(night.slot, ZfsSlot) and night.slot.resuming is None
