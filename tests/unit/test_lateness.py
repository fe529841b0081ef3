"""When a success is late: by the schedule as it shows, or as configured; durations as they are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.config.values import format_duration, parse_duration
from snapmirror.state.lateness import late_after, usual_gap

NOW = datetime(2026, 11, 28, 3, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("gaps", "limit"),
    [
        ([], 2 * DAY),
        ([DAY] * 8, 2 * DAY),
        ([HOUR] * 8, 2 * DAY),
        ([7 * DAY], 14 * DAY),
        ([7 * DAY] * 8, 14 * DAY),
        ([DAY, DAY, 40 * DAY, DAY, DAY], 2 * DAY),
        ([400 * DAY], 62 * DAY),
        ([DAY, 400 * DAY], 2 * DAY),
        ([-400 * DAY, DAY, DAY], 2 * DAY),
        ([31 * DAY] * 3, 62 * DAY),
        ([7 * DAY] * 5 + [DAY] * 90, 14 * DAY),
    ],
)
def test_the_limit_follows_the_schedule(gaps: list[timedelta], limit: timedelta) -> None:
    moments = [NOW]
    for gap in gaps:
        moments.append(moments[-1] - gap)
    assert late_after(None, usual_gap(moments)) == limit
    assert late_after(HOUR, usual_gap(moments)) == HOUR, "what is configured counts"


@given(st.integers(1, 10**9))
def test_a_duration_is_read_as_it_is_written(seconds: int) -> None:
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


def test_durations_for_people() -> None:
    assert [parse_duration(text) for text in ("90s", "10m", "36 h", "8D", "2w")] == [
        timedelta(seconds=90), 10 * timedelta(minutes=1), 36 * HOUR, 8 * DAY, 14 * DAY,
    ]  # fmt: skip
    assert [format_duration(one) for one in (HOUR, 14 * DAY, 36 * HOUR)] == ["1h", "2w", "36h"]


@pytest.mark.parametrize("value", ["", "10", 10, "0m", "-1h", "1.5h", "10 minutes", "9999999999999d", "99999d", None])
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(value)
