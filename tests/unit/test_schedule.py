"""When something is due: by an interval, and by a time of day."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.schedule import DailyAt, Every, due

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


def test_what_was_never_done_is_due() -> None:
    assert due(Every(DAY), None, NOON) == (True, NOON)
    assert due(DailyAt(time(3)), None, NOON) == (True, NOON - 9 * HOUR)


@pytest.mark.parametrize(("ago", "is_due"), [(23, False), (24, True), (25, True), (-1, True), (-9000, True)])
def test_an_interval(ago: int, is_due: bool) -> None:
    assert due(Every(DAY), NOON - ago * HOUR, NOON).is_due == is_due


def test_what_comes_a_bit_early_is_on_time() -> None:
    week = Every(7 * DAY, early=HOUR)
    assert due(week, NOON - 7 * DAY + HOUR, NOON) == (True, NOON)
    assert due(week, NOON - 7 * DAY + 2 * HOUR, NOON) == (False, NOON + HOUR)


@pytest.mark.parametrize(
    ("last", "is_due", "at"),
    [
        ("2026-11-21 03:00", False, "2026-11-22 03:00"),
        ("2026-11-21 02:59", True, "2026-11-21 03:00"),
        ("2026-11-19 04:00", True, "2026-11-21 03:00"),
        ("2026-11-22 12:00", False, "2026-11-22 03:00"),
    ],
)
def test_a_time_of_day(last: str, is_due: bool, at: str) -> None:
    done, told = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (last, at))
    assert due(DailyAt(time(3)), done, NOON) == (is_due, told)


def test_before_that_time_the_one_of_yesterday_counts() -> None:
    early = NOON - 10 * HOUR
    assert due(DailyAt(time(3)), early - DAY, early) == (True, early - 23 * HOUR)
    assert due(DailyAt(time(3)), early - 22 * HOUR, early) == (False, early + HOUR)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneInfo]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        clock.tzset()
        yield ZoneInfo("Europe/Berlin")
    clock.tzset()


def test_the_local_clock_counts_when_it_is_changed(berlin: ZoneInfo) -> None:
    """The day of the change has 25 hours: three o'clock is three o'clock."""
    evening = datetime(2026, 10, 24, 20, 0, tzinfo=berlin)
    assert due(DailyAt(time(3)), evening, evening + HOUR).at == datetime(2026, 10, 25, 2, 0, tzinfo=UTC)
    morning = datetime(2026, 10, 25, 12, 0, tzinfo=berlin)
    assert due(DailyAt(time(3)), evening, morning) == (True, datetime(2026, 10, 25, 2, 0, tzinfo=UTC))


@given(rule=st.sampled_from([Every(DAY), Every(DAY, early=HOUR), DailyAt(time(3))]), last=MOMENTS, now=MOMENTS)
def test_it_is_due_when_it_was_said_to_be(rule: Every | DailyAt, last: datetime, now: datetime) -> None:
    is_due, at = due(rule, last, now)
    assert is_due == (at <= now)
    if not is_due and last <= now:
        assert due(rule, last, at).is_due and not due(rule, last, at - timedelta(seconds=1)).is_due
