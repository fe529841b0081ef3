"""What the nights have changed adds up to what two manifests tell: for random trees, links and leaders."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.snapshots import entry
from snapmirror.snapshots.hardlink import changes
from snapmirror.snapshots.hardlink.layout import Layout
from snapmirror.snapshots.manifest import NOTHING, PREFIX, Header, Reader, rewritten
from snapmirror.snapshots.merge import Pair
from snapmirror.snapshots.plan import MOST_CHANGES, compare
from snapmirror.snapshots.protocol import Sealed
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.spool import Spool
from tests.unit.test_plan import TREE, Node, Tree, blocks, lines_of

NIGHTS = st.lists(st.tuples(TREE, st.booleans()), min_size=2, max_size=5)


def lived(layout: Layout, nights: list[tuple[Tree, bool]]) -> list[Snapshot]:
    """Snapshots of these trees, one after the other, each with a manifest and what it has changed."""
    layout.make()
    snapshots: list[Snapshot] = []
    for number, (tree, leader_last) in enumerate(nights, start=1):
        before = snapshots[-1] if snapshots else None
        header = Header(f"2026-11-{number:02d}T030000Z", number)
        old = Reader(layout.manifest(before.id)) if before else NOTHING
        plan = compare(old, blocks(lines_of(tree, leader_last)), header, marked=set())
        manifest = rewritten(plan.manifest, header, corrections=plan.corrections) if plan.corrections else plan.manifest
        one = Snapshot(
            id=header.id, sequence=number, slot=1, files=0, entries=0, bytes=0, new_bytes=0, counts=plan.counts
        )
        sealed = Sealed(one, manifest, Spool(), None if plan.corrections else plan.differing)
        layout.manifest(one.id).write_bytes(manifest)
        changes.write(layout, before, sealed)
        snapshots.append(one)
    return snapshots


def sides(pairs: list[Pair]) -> tuple[set[bytes], set[bytes]]:
    return {old for old, _ in pairs if old is not None}, {new for _, new in pairs if new is not None}


@given(NIGHTS)
def test_nights_add_up_to_what_manifests_tell(nights: list[tuple[Tree, bool]]) -> None:
    with TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        snapshots = lived(layout, nights)
        for late, new in enumerate(snapshots):
            for old in snapshots[:late]:
                found = changes.between(layout, old.id, new)
                assert found is not None
                told = changes.compared(layout.manifest(old.id), layout.manifest(new.id))
                assert sides(found) == sides(told)
                seen: set[bytes] = set()
                for _, line in found:
                    if line is not None:
                        path = entry.path_of(line[PREFIX:])
                        assert not any(one.startswith(path + b"/") for one in seen), "a folder after what lies in it"
                        seen.add(path)


def tree(size: int) -> Tree:
    return {b".": Node(b"d", 0, 0), b"a": Node(b"f", size, 0), b"b": Node(b"f", 1, size)}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    lived(layout, [(tree(size), False) for size in range(4)])
    return layout


def snapshot(number: int) -> Snapshot:
    return Snapshot(
        id=f"2026-11-{number:02d}T030000Z", sequence=number, slot=1, files=0, entries=0, bytes=0, new_bytes=0
    )


def test_a_chain_that_is_whole(layout: Layout) -> None:
    found = changes.between(layout, snapshot(1).id, snapshot(4))
    assert found is not None
    assert sorted(entry.path_of(new[PREFIX:]) for _, new in found if new) == [b"a", b"b"]
    assert changes.between(layout, snapshot(4).id, snapshot(4)) == []


@pytest.mark.parametrize("how", ["missing", "no such file", "cut", "empty", "another's", "later one's", "too big"])
def test_a_chain_that_is_broken_tells_nothing(layout: Layout, how: str) -> None:
    file = layout.changes(3)
    match how:
        case "missing":
            file.unlink()
        case "no such file":
            file.write_bytes(b"garbage")
        case "cut":
            os.truncate(file, file.stat().st_size // 2)
        case "empty":
            file.write_bytes(b"")
        case "another's":
            file.write_bytes(layout.changes(2).read_bytes())
        case "later one's":
            file.write_bytes(layout.changes(4).read_bytes())
        case "too big":
            with file.open("ab") as more:
                more.truncate(1 << 20)
    assert changes.between(layout, snapshot(1).id, snapshot(4)) is None
    assert changes.between(layout, snapshot(3).id, snapshot(4)) is not None


def test_a_night_that_has_changed_too_much_is_not_remembered(layout: Layout) -> None:
    assert layout.changes(4).exists()
    one = snapshot(4).model_copy(update={"counts": {"added": MOST_CHANGES + 1}})
    changes.write(layout, snapshot(3), Sealed(one, layout.manifest(one.id).read_bytes(), Spool()))
    assert not layout.changes(4).exists()


def test_without_a_manifest_to_compare_with_nothing_is_remembered(layout: Layout) -> None:
    manifest = layout.manifest(snapshot(4).id).read_bytes()
    changes.write(layout, snapshot(3), Sealed(snapshot(4), manifest, Spool()))
    assert changes.between(layout, snapshot(3).id, snapshot(4)) is not None
    layout.manifest(snapshot(3).id).write_bytes(b"garbage")
    changes.write(layout, snapshot(3), Sealed(snapshot(4), manifest, Spool()))
    assert not layout.changes(4).exists()
