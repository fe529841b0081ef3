"""What this machine knows of the newest snapshot, against stores that know of less, of more, or of another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from snapmirror.snapshots.record import Snapshot, make_id
from snapmirror.state.newest import Newest, compare

_DAY = datetime(2026, 11, 20, 3, tzinfo=UTC)


def snapshot(number: int, *, other: bool = False) -> Snapshot:
    taken = make_id(_DAY + timedelta(days=number, seconds=int(other)))
    return Snapshot(id=taken, sequence=number, slot=1, files=1, entries=1, bytes=1, new_bytes=1)


def known(number: int) -> Newest:
    return Newest(sequence=number, id=snapshot(number).id)


@given(st.integers(1, 20), st.integers(0, 20), st.integers(1, 16))
def test_a_store_is_taken_exactly_if_it_knows_of_what_is_known(last: int, there: int, kept: int) -> None:
    snapshots = [snapshot(number) for number in range(there, max(0, there - kept), -1)]
    sentence = compare("web", known(last), snapshots)
    assert (sentence is None) == (there >= last)
    if sentence is not None:
        assert known(last).id in sentence, "both dates are named"
        assert there == 0 or snapshots[0].id in sentence


@given(st.integers(1, 20), st.integers(0, 5))
def test_another_snapshot_of_the_same_number_is_another_store(last: int, more: int) -> None:
    snapshots = [snapshot(number, other=True) for number in range(last + more, 0, -1)]
    sentence = compare("web", known(last), snapshots)
    assert sentence is not None
    assert snapshot(last, other=True).id in sentence
    assert known(last).id in sentence
