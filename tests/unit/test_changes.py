"""What the nights have changed adds up to what two manifests tell: for random trees, links and leaders."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.snapshots import entry, packed
from snapmirror.snapshots.compare import MOST_CHANGES, compare
from snapmirror.snapshots.hardlink import prepare
from snapmirror.snapshots.hardlink.differing import Differing, compared
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.hardlink.shortcuts import changes, handles
from snapmirror.snapshots.lines import Numbered, name_of, unnumbered
from snapmirror.snapshots.manifest import NOTHING, Header, Reader, rewritten
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.slot import Sealed
from snapmirror.snapshots.spool import Spool
from tests.unit.test_plan import TREE, Node, Tree, blocks, lines_of

NIGHTS = st.lists(st.tuples(TREE, st.booleans()), min_size=2, max_size=5)


def lived(layout: HardlinkLayout, nights: list[tuple[Tree, bool]]) -> list[Snapshot]:
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
        sealed = Sealed(one, manifest, Spool())
        layout.manifest(one.id).write_bytes(manifest)
        changes.write(layout, before, sealed, plan)
        snapshots.append(one)
    return snapshots


Names = dict[bytes, Numbered]


def names_of(layout: HardlinkLayout, one: Snapshot) -> Names:
    """The numbered lines of a snapshot, by name."""
    return {name_of(line): line for line in Reader(layout.manifest(one.id))}


def applied(names: Names, differing: Differing) -> Names:
    """What is left when the names that differ are taken away and put there, as in a slot."""
    names = dict(names)
    for name in differing.gone:
        del names[name]
    for line in differing.new:
        path = entry.parse(unnumbered(line)).path
        above = entry.parent(path)
        assert path == b"." or (b"./" if above == b"." else entry.escape(above) + b"/") in names, "not in a folder yet"
        assert names.setdefault(name_of(line), line) is line
    return names


@given(NIGHTS)
def test_nights_add_up_to_what_manifests_tell(nights: list[tuple[Tree, bool]]) -> None:
    with TemporaryDirectory() as folder:
        layout = HardlinkLayout(Path(folder))
        snapshots = lived(layout, nights)
        for late, new in enumerate(snapshots):
            for old in snapshots[:late]:
                by_nights = changes.between(layout, old.id, new)
                by_manifests = compared(layout.manifest(old.id), layout.manifest(new.id))
                assert by_nights is not None
                assert by_manifests is not None
                assert applied(names_of(layout, old), by_nights) == names_of(layout, new)
                assert applied(names_of(layout, old), by_manifests) == names_of(layout, new)
                if old is snapshots[late - 1]:
                    assert set(by_nights.gone) == set(by_manifests.gone)
                    assert set(by_nights.new) == set(by_manifests.new)


def tree(size: int) -> Tree:
    return {b".": Node(b"d", 0, 0), b"a": Node(b"f", size, 0), b"b": Node(b"f", 1, size)}


@pytest.fixture
def layout(tmp_path: Path) -> HardlinkLayout:
    layout = HardlinkLayout(tmp_path)
    lived(layout, [(tree(size), False) for size in range(4)])
    return layout


def snapshot(number: int) -> Snapshot:
    return Snapshot(
        id=f"2026-11-{number:02d}T030000Z", sequence=number, slot=1, files=0, entries=0, bytes=0, new_bytes=0
    )


def test_a_chain_that_is_whole(layout: HardlinkLayout) -> None:
    found = changes.between(layout, snapshot(1).id, snapshot(4))
    assert found is not None
    assert [entry.path_of(unnumbered(line)) for line in found.new] == found.gone == [b"a", b"b"]
    assert changes.between(layout, snapshot(4).id, snapshot(4)) == Differing([], [])


@pytest.mark.parametrize(
    "how",
    [
        "missing",
        "no such file",
        "cut",
        "empty",
        "another's",
        "later one's",
        "of the future",
        "of other lines",
        "too big",
    ],
)
def test_a_chain_that_is_broken_tells_nothing(layout: HardlinkLayout, how: str) -> None:
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
        case "of the future":
            lines = list(packed.read(file, ""))
            file.write_bytes(packed.pack(Spool([(b"changes.2", lines[0][1]), *lines[1:]])))
        case "of other lines":
            file.write_bytes(packed.pack(Spool([*packed.read(file, ""), (b"?", b"a")])))
        case "too big":
            with file.open("ab") as more:
                more.truncate(1 << 20)
    assert changes.between(layout, snapshot(1).id, snapshot(4)) is None
    assert changes.between(layout, snapshot(3).id, snapshot(4)) is not None


def test_a_night_that_has_changed_too_much_is_not_remembered(layout: HardlinkLayout) -> None:
    assert layout.changes(4).exists()
    one = snapshot(4).model_copy(update={"counts": {"added": MOST_CHANGES + 1}})
    changes.write(layout, snapshot(3), Sealed(one, layout.manifest(one.id).read_bytes(), Spool()))
    assert not layout.changes(4).exists()


def test_without_a_manifest_to_compare_with_nothing_is_remembered(layout: HardlinkLayout) -> None:
    manifest = layout.manifest(snapshot(4).id).read_bytes()
    changes.write(layout, snapshot(3), Sealed(snapshot(4), manifest, Spool()))
    assert changes.between(layout, snapshot(3).id, snapshot(4)) is not None
    layout.manifest(snapshot(3).id).write_bytes(b"garbage")
    changes.write(layout, snapshot(3), Sealed(snapshot(4), manifest, Spool()))
    assert not layout.changes(4).exists()


@pytest.mark.parametrize(
    "differing",
    [
        Differing([b"a", b"../a"], []),
        Differing([b"a"], [Numbered(b"0000001 >f+++++++++|rw-r--r--|0|0|1|2026/11/20-03:00:00|//../a")]),
        Differing([b"a"], [Numbered(b"0000001 nonsense")]),
        Differing([b"a"], [Numbered(b"number? >f+++++++++|rw-r--r--|0|0|1|2026/11/20-03:00:00|//b")]),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_the_slot_is_touched(tmp_path: Path, differing: Differing) -> None:
    layout = HardlinkLayout(tmp_path)
    layout.make()
    layout.slot.mkdir()
    (layout.slot / "a").touch()
    (layout.slot.parent / "a").touch()
    with handles.opened(layout) as known, pytest.raises(entry.BadLine):
        prepare.recycled(differing, layout.slot, layout.slot, known, Event())
    assert (layout.slot / "a").exists()
    assert (layout.slot.parent / "a").exists()
