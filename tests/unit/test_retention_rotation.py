"""Retention decides with a reason and never takes the last good one; a rotation is finished wherever it was cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.errors import StorageError
from snapmirror.snapshots import record, retention
from snapmirror.snapshots.hardlink import rotation
from snapmirror.snapshots.hardlink.layout import Layout
from snapmirror.snapshots.record import Move, Record, Snapshot


def snapshot(slot: int, *, degraded: bool = False, pinned: bool = False) -> Snapshot:
    return Snapshot(
        id=f"2026-11-{28 - slot:02d}T030000Z", sequence=100 - slot, slot=slot, files=1, entries=2, bytes=3, new_bytes=4,
        degraded=degraded, pinned=pinned,
    )  # fmt: skip


SNAPSHOTS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12).map(
    lambda flags: [snapshot(slot, degraded=d, pinned=p) for slot, (d, p) in enumerate(flags, start=1)]
)


@given(SNAPSHOTS, st.integers(1, 6))
def test_retention_keeps_the_last_the_pinned_and_the_last_good(snapshots: list[Snapshot], keep_last: int) -> None:
    decisions = retention.decide(snapshots, keep_last=keep_last)
    kept = {decision.snapshot.id for decision in decisions if decision.keep}
    good = [one.id for one in snapshots if not one.degraded]
    expected = {one.id for one in snapshots[:keep_last]} | {one.id for one in snapshots if one.pinned} | set(good[:1])
    assert kept == expected
    assert [decision.snapshot for decision in decisions] == snapshots
    assert all(decision.reason for decision in decisions)


def store(folder: Path, kept: list[Snapshot], expired: list[Snapshot]) -> Layout:
    """Folders as they stand before a rotation; each holds the id of its snapshot."""
    layout = Layout(folder)
    layout.make()
    for one in [*kept, *expired]:
        place = layout.backup(one.slot) if one.slot else layout.slot
        place.mkdir()
        (place / "id").write_text(one.id)
    return layout


def divided(keep: list[bool]) -> tuple[list[Snapshot], list[Snapshot]]:
    old = [snapshot(slot) for slot in range(1, len(keep) + 1)]
    new = Snapshot(id="2026-11-29T030000Z", sequence=101, slot=0, files=1, entries=2, bytes=3, new_bytes=4)
    kept = [new, *(one for one, stays in zip(old, keep, strict=True) if stays)]
    return kept, [one for one, stays in zip(old, keep, strict=True) if not stays]


@pytest.mark.parametrize(
    "keep", [[], [True, True], [True, False], [False] * 3, [True, False, False, True, False, True]]
)
def test_a_rotation_cut_off_at_any_move_is_finished(tmp_path: Path, keep: list[bool]) -> None:
    kept, expired = divided(keep)
    for cut in range(len(keep) + 2):
        layout = store(tmp_path / str(cut), kept, expired)
        moves = rotation.moves(layout, kept, expired, park=True)
        rotation.make(layout, moves[:cut])
        rotation.make(layout, moves)
        for number, one in enumerate(kept, start=1):
            assert (layout.backup(number) / "id").read_text() == one.id
        assert not layout.backup(len(kept) + 1).exists()
        assert not layout.slot.exists()
        if expired:
            assert (layout.parked / "id").read_text() == expired[0].id
        for one in expired[1:]:
            assert (layout.private / f"{rotation.TRASH}{one.id}" / "id").read_text() == one.id


def test_a_folder_that_is_not_the_one_is_not_moved(tmp_path: Path) -> None:
    layout = store(tmp_path, [snapshot(0), snapshot(1)], [])
    with pytest.raises(StorageError, match="not the one"):
        rotation.make(layout, [Move(inode=1, source="backup.1", target="backup.2")])
    assert layout.backup(1).is_dir()


def test_dated_names_follow_the_numbers(tmp_path: Path) -> None:
    layout = store(tmp_path, [], [snapshot(1), snapshot(2)])
    rotation.date(layout, [snapshot(1), snapshot(2)])
    rotation.date(layout, [snapshot(2)])
    (link,) = layout.by_date.iterdir()
    assert link.readlink() == Path("../backup.2") and (link / "id").read_text() == snapshot(2).id


def test_a_record_survives_being_written_and_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert record.load(path) == Record()
    first = Record(sequence=3, snapshots=[snapshot(1)], parked="2026-11-19T030000Z")
    record.save(first, path)
    record.save(first.model_copy(update={"sequence": 4}), path)
    assert record.load(path).sequence == 4
    assert record.load(path.with_name("record.json.previous")) == first
    path.write_text('{"format": "snapmirror record", "version": 1, "snapshots": [{"id": 5}]}')
    with pytest.raises(StorageError, match="damaged") as caught:
        record.load(path)
    assert "previous" in caught.value.hint
    path.write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        record.load(path)
