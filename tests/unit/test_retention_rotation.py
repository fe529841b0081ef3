"""Retention decides with a reason and never takes the last good one; a rotation is finished wherever it was cut off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.errors import StorageError
from snapmirror.snapshots import record, retention
from snapmirror.snapshots.ages import ages, longest_gap
from snapmirror.snapshots.hardlink import rotation
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.record import Move, Record, Snapshot
from snapmirror.snapshots.retention import Rules


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
    decisions = retention.decide(snapshots, Rules(keep_last))
    kept = {decision.snapshot.id for decision in decisions if decision.keep}
    good = [one.id for one in snapshots if not one.degraded]
    expected = {one.id for one in snapshots[:keep_last]} | {one.id for one in snapshots if one.pinned} | set(good[:1])
    assert kept == expected
    assert [decision.snapshot for decision in decisions] == snapshots
    assert all(decision.reason for decision in decisions)


NIGHT = datetime(2026, 11, 27, 3, tzinfo=UTC)


def nights(*clocks: datetime) -> list[Snapshot]:
    """Snapshots that were taken when the clock said so, given oldest first; the list is newest first."""
    made: list[Snapshot] = []
    for number, clock in enumerate(clocks, start=1):
        when = max(clock, made[0].taken_at + timedelta(seconds=1)) if made else clock
        name = record.make_id(when)
        told = None if when == clock else record.make_id(clock)
        made.insert(0, Snapshot(id=name, sequence=number, slot=0, files=1, entries=2, bytes=3, new_bytes=4, clock=told))
    return made


def kept(snapshots: list[Snapshot], rules: Rules) -> int:
    return sum(decision.keep for decision in retention.decide(snapshots, rules))


def every(gap: timedelta, number: int) -> list[datetime]:
    return [NIGHT + gap * count for count in range(number)]


def test_sixteen_daily_nights_stay_as_ever() -> None:
    assert kept(nights(*every(timedelta(days=1), 40)), Rules(16, 14)) == 16


def test_nothing_expires_by_number_alone_before_its_time() -> None:
    """A run each hour, of which three are to stay: all of fourteen days stay, and then the oldest goes."""
    rules = Rules(3, 14)
    assert kept(nights(*every(timedelta(hours=1), 14 * 24)), rules) == 14 * 24
    assert kept(nights(*every(timedelta(hours=1), 20 * 24)), rules) == 14 * 24
    decisions = retention.decide(nights(*every(timedelta(hours=1), 20 * 24)), rules)
    assert decisions[3].reason == "younger than 14 days"
    assert decisions[-1].reason == "older than the last 3, and than 14 days"
    assert retention.by_age_alone([one.snapshot for one in decisions], rules) == 14 * 24 - 3


def test_weekly_nights_age_by_weeks() -> None:
    assert kept(nights(*every(timedelta(days=7), 30)), Rules(2, 14)) == 2
    assert kept(nights(*every(timedelta(days=7), 30)), Rules(1, 30)) == 5


@pytest.mark.parametrize("gap", [timedelta(hours=1), timedelta(days=1)])
def test_a_clock_that_jumps_ahead_expires_next_to_nothing(gap: timedelta) -> None:
    """By ten years: the night counts as one that came a day or two later."""
    before = every(gap, 20 * timedelta(days=1) // gap)
    rules = Rules(3, 14)
    there = kept(nights(*before), rules)
    after = kept(nights(*before, before[-1] + timedelta(days=3650)), rules)
    assert after >= there + 1 - timedelta(days=2) // gap
    # and set right again, nights count as nights
    again = nights(*before, before[-1] + timedelta(days=3650), *every_after(before[-1], gap, timedelta(days=20)))
    assert abs(kept(again, rules) - there) <= 2


def every_after(start: datetime, gap: timedelta, span: timedelta) -> list[datetime]:
    return [start + gap * count for count in range(1, span // gap)]


@given(
    st.lists(st.integers(-(10**8), 10**8), min_size=1, max_size=30).map(
        lambda gaps: [timedelta(seconds=s) for s in gaps]
    )
)
def test_ages_grow_and_no_single_gap_ages_anything_by_more_than_is_usual(gaps: list[timedelta]) -> None:
    clocks = [NIGHT]
    for gap in gaps:
        clocks.append(clocks[-1] - gap)
    told = ages(clocks)
    assert told[0] == timedelta(0) and told == sorted(told) and len(told) == len(clocks)
    jumped = ages([clocks[0] + timedelta(days=3650), *clocks[1:]])
    most = longest_gap([max(gap, timedelta(0)) for gap in gaps[1:]])
    assert all(timedelta(0) <= later - sooner <= most for later, sooner in zip(jumped, told, strict=True))


def store(folder: Path, kept: list[Snapshot], expired: list[Snapshot]) -> HardlinkLayout:
    """Folders as they stand before a rotation; each holds the id of its snapshot."""
    layout = HardlinkLayout(folder)
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
