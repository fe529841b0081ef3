"""What would expire is known before; only what somebody has let go, not what a night pushes out, counts against it."""

from __future__ import annotations

import operator
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.snapshots.record import Snapshot, make_id
from snapmirror.snapshots.retention import Rules, decide, expiry

NIGHT = datetime(2026, 1, 1, 3, tzinfo=UTC)


def snapshot(when: datetime, sequence: int = 1, rules: Rules | None = None) -> Snapshot:
    kept = (rules.last, rules.days) if rules else None
    return Snapshot(id=make_id(when), sequence=sequence, slot=0, files=1, entries=2, bytes=3, new_bytes=4, rules=kept)


def lived(rules: Rules, clocks: list[datetime]) -> list[Snapshot]:
    """The snapshots, newest first, that these nights leave; none of them is one that the guard would stop."""
    there: list[Snapshot] = []
    for number, clock in enumerate(clocks, start=1):
        tonight = snapshot(clock, number, rules)
        before = expiry(there, tonight, rules)
        decisions = decide([tonight, *there], rules)
        assert [one.snapshot for one in before.decisions] == [one.snapshot for one in decisions if not one.keep]
        assert before.at_once <= 1
        there = [one.snapshot for one in decisions if one.keep]
    return there


@pytest.mark.parametrize("gap", [timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=7)])
@pytest.mark.parametrize("pause", [timedelta(0), timedelta(days=3), timedelta(days=40)])
def test_nights_and_catching_up_after_a_pause_are_one_at_most(gap: timedelta, pause: timedelta) -> None:
    before = [NIGHT + gap * count for count in range(60)]
    clocks = before + [before[-1] + pause + gap * count for count in range(1, 60)]
    for rules in (Rules(3), Rules(16, 14), Rules(3, 2)):
        lived(rules, clocks)


@given(st.lists(st.integers(1, 72), min_size=1, max_size=60), st.integers(1, 5), st.integers(0, 5))
def test_the_same_rules_never_let_much_go_at_once(hours: list[int], last: int, days: int) -> None:
    clocks = list(accumulate((timedelta(hours=gap) for gap in hours), operator.add, initial=timedelta(0)))
    lived(Rules(last, days), [NIGHT + passed for passed in clocks])


def test_shorter_retention_is_counted_and_told() -> None:
    there = lived(Rules(9), [NIGHT + timedelta(days=count) for count in range(9)])
    tonight = snapshot(NIGHT + timedelta(days=9), 10)
    found = expiry(there, tonight, Rules(1))
    assert found.at_once == 9 and len(found.decisions) == 9
    assert {one.reason for one in found.decisions} == {"older than the last 1"}
    assert expiry(there, tonight, Rules(7)).at_once == 3
    assert expiry(there, tonight, Rules(30)).at_once == 0


def test_a_store_of_an_older_version_does_not_know_its_last_rules() -> None:
    there = [snapshot(NIGHT - timedelta(days=count)) for count in range(9)]
    assert expiry(there, snapshot(NIGHT + timedelta(days=1)), Rules(9)).at_once == 1
    assert expiry(there, snapshot(NIGHT + timedelta(days=1)), Rules(4)).at_once == 1
    assert expiry([], snapshot(NIGHT), Rules(1)).at_once == 0
