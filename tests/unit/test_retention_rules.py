"""Rules of retention: restic's answers, properties, and years of simulated nights.

`samples/retention-vectors.json` holds what restic 0.14.0 keeps (`forget --dry-run --json`) of 383 snapshots in three
time zones, by 17 sets of rules each. Ours keep the same, but for one rule: a clock that jumps makes nothing older, so
after a gap far longer than usual `keep_within` keeps more.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from snapmirror.config import RetentionConfig
from snapmirror.snapshots.record import Snapshot, make_id
from snapmirror.snapshots.retention import Cycle, Hanoi, Rules, decide
from snapmirror.snapshots.retention.forecast import NIGHTS, goes, stays
from snapmirror.span import Span

VECTORS = Path(__file__).parent / "samples" / "retention-vectors.json"
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
START = datetime(2024, 1, 1, 2, 10, tzinfo=UTC)


@cache
def scenes() -> dict[str, Any]:
    return {scene["scene"]: scene for scene in json.loads(VECTORS.read_text())["scenes"]}


def snapshot(when: datetime, sequence: int, *, degraded: bool = False, pinned: bool = False) -> Snapshot:
    return Snapshot(
        id=make_id(when), sequence=sequence, slot=0, files=1, entries=2, bytes=3, new_bytes=4, degraded=degraded,
        pinned=pinned,
    )  # fmt: skip


def nights(times: Sequence[datetime], every: timedelta | None = None) -> list[Snapshot]:
    """Newest first; numbered one by one, or as if there had been a night in each time of `every`."""
    first = min(times)
    return [
        snapshot(when, 1 + (when - first) // every if every else number)
        for number, when in enumerate(sorted(times), start=1)
    ][::-1]


def kept(snapshots: Sequence[Snapshot], rules: Rules, zone: str = "UTC") -> set[str]:
    return {one.snapshot.id for one in decide(snapshots, rules, ZoneInfo(zone)) if one.keep}


EVERY = {"nightly": timedelta(days=1), "hourly": timedelta(hours=1)}
CASES = [(scene, number) for scene in ("nightly", "hourly", "irregular") for number in range(17)]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_what_restic_keeps_is_kept(name: str, number: int) -> None:
    scene = scenes()[name]
    case = scene["cases"][number]
    config = RetentionConfig.model_validate({"keep_last": 1, "keep_at_least_days": 0, **case["rules"]})
    times = [datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) for text in scene["snapshots"]]
    expected = {make_id(datetime.fromisoformat(text)) for text in case["keep"]}
    ours = kept(nights(times, EVERY.get(name)), Rules.of(config), scene["timezone"])
    if name == "irregular" and "keep_within" in case["rules"]:
        assert expected <= ours, "a long gap makes nothing older"
    else:
        assert ours == expected | {make_id(max(times))}


def test_the_vectors_are_all_there() -> None:
    assert [(len(scene["snapshots"]), len(scene["cases"])) for scene in scenes().values()] == [
        (176, 17), (143, 17), (64, 17),
    ]  # fmt: skip


SPANS = st.builds(
    Span, st.integers(0, 3), st.integers(0, 30), st.integers(0, 9), st.integers(0, 99), st.integers(0, 99)
)
COUNTS = st.integers(0, 12)
RULES = st.builds(
    Rules, st.integers(1, 20), st.integers(0, 30), st.none() | SPANS.filter(lambda span: span != Span()), COUNTS,
    COUNTS, COUNTS, COUNTS, COUNTS, st.integers(1, 5), st.none() | st.builds(Hanoi, st.integers(2, 6), st.booleans()),
    st.none() | st.builds(Cycle, st.integers(1, 3), st.integers(0, 9)),
)  # fmt: skip


def history(nights: list[tuple[int, bool, bool]]) -> list[Snapshot]:
    """From the seconds since the night before, and whether it is degraded, and pinned; newest first."""
    found, when = list[Snapshot](), START
    for number, (seconds, degraded, pinned) in enumerate(nights, start=1):
        when += timedelta(seconds=seconds)
        found.insert(0, snapshot(when, number, degraded=degraded, pinned=pinned))
    return found


HISTORIES = st.lists(st.tuples(st.integers(1, 10_000_000), st.booleans(), st.booleans()), min_size=1, max_size=40).map(
    history
)


@given(HISTORIES, RULES)
def test_what_stays_whatever_the_rules_say(there: list[Snapshot], rules: Rules) -> None:
    """The newest, pinned ones, and as many good ones as keep_good says; each with a reason."""
    decisions = decide(there, rules, UTC)
    assert [one.snapshot for one in decisions] == there
    assert all(one.reasons and all(one.reasons) for one in decisions)
    good = [one.id for one in there if not one.degraded]
    must = {there[0].id, *good[: rules.good], *(one.id for one in there if one.pinned)}
    assert must <= kept(there, rules)


@given(HISTORIES, RULES, RULES)
def test_a_further_rule_never_lets_more_expire(there: list[Snapshot], one: Rules, other: Rules) -> None:
    together = {
        name: max(getattr(one, name), getattr(other, name))
        for name in ("last", "days", "hourly", "daily", "weekly", "monthly", "yearly", "good")
    }
    both = Rules(**together, within=one.within, hanoi=one.hanoi, cycle=one.cycle)
    assert kept(there, one) <= kept(there, both)


@given(HISTORIES, RULES)
def test_to_apply_rules_twice_changes_nothing(there: list[Snapshot], rules: Rules) -> None:
    """But for ages: these are counted by the gaps, which are others when some snapshots are gone."""
    rules = Rules(**{**asdict(rules), "days": 0, "within": None, "hanoi": rules.hanoi, "cycle": rules.cycle})
    left = [one for one in there if one.id in kept(there, rules)]
    assert kept(left, rules) == {one.id for one in left}


@given(RULES)
def test_the_record_gives_the_rules_back(rules: Rules) -> None:
    assert Rules.from_note(rules.last, rules.days, rules.noted()) == rules


def test_what_a_newer_version_noted_does_not_vote() -> None:
    note = {"lunar": "3", "daily": "many", "hanoi": "5", "cycle": "a b", "within": "soon", "weekly": "4"}
    assert Rules.from_note(2, 0, note) == Rules(2, weekly=4)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("every", [timedelta(days=1), timedelta(hours=17)])
def test_five_years_with_missed_nights(zone: str, every: timedelta) -> None:
    """Night by night; the numbers hold at each, over the changes of the clock."""
    rules = Rules(1, daily=7, weekly=5, monthly=12, yearly=3)
    rng, there, when = random.Random(zone), list[Snapshot](), START
    for number in range(1, 5 * 365 * timedelta(days=1) // every, 1):
        when += every
        if rng.random() < 0.1:
            continue
        there = [snapshot(when, number), *there]
        there = [one.snapshot for one in decide(there, rules, ZoneInfo(zone)) if one.keep]
        assert len(there) <= 7 + 5 + 12 + 3
    local = [one.taken_at.astimezone(ZoneInfo(zone)) for one in there]
    months = list(dict.fromkeys((at.year, at.month) for at in local))
    assert len(months) >= 12, months
    assert len({at.year for at in local}) >= 3
    days = [at.date() for at in local]
    assert all(earlier < later for later, earlier in pairwise(days[:7]))


@pytest.mark.parametrize("discs", [2, 3, 5, 7])
def test_ages_of_hanoi_double(discs: int) -> None:
    """At every night each disc's snapshot is younger than twice its usual age; missed nights do not count."""
    rules, there = Rules(1, hanoi=Hanoi(discs)), list[Snapshot]()
    rng, when = random.Random(discs), START
    for number in range(1, 400):
        when += timedelta(days=rng.choice((1, 1, 1, 4)))
        there = [snapshot(when, number), *there]
        there = [one.snapshot for one in decide(there, rules, UTC) if one.keep]
        ages = [number - one.sequence for one in there]
        assert ages[0] == 0 and len(ages) <= discs + 1
        for disc in range(min(discs, number.bit_length())):
            on_it = [age for age in ages if rules.hanoi and rules.hanoi.disc(number - age) == disc]
            assert on_it and min(on_it) < 2 ** (disc + 1), (number, disc, ages)
        if number > 2**discs:
            assert 2 ** (discs - 2) <= ages[-1] < 2 ** (discs - 1) + 2 ** (discs - 2), (number, ages)


def test_the_last_disc_of_hanoi_is_an_archive() -> None:
    history = nights([START + timedelta(days=number) for number in range(64)])
    archived = [one.sequence for one in history if one.id in kept(history, Rules(1, hanoi=Hanoi(4, archive=True)))]
    assert archived == [64, 63, 62, 60, 56, 48, 40, 32, 24, 16, 8]


def test_cycles_expire_as_a_whole() -> None:
    rules, there, sizes = Rules(1, cycle=Cycle(2, 6)), list[Snapshot](), []
    for number in range(1, 60):
        there = [snapshot(START + timedelta(days=number), number), *there]
        there = [one.snapshot for one in decide(there, rules, UTC) if one.keep]
        assert (there[-1].sequence - 1) % 7 == 0, "nothing is kept whose beginning is gone"
        sizes.append(len(there))
    assert min(sizes[13:]) == 8 and max(sizes) == 14


@pytest.mark.parametrize(
    "rules", [Rules(3), Rules(2, 5), Rules(1, daily=4, weekly=2), Rules(1, hanoi=Hanoi(3)), Rules(1, cycle=Cycle(1, 2))]
)
def test_the_forecast_is_what_happens(rules: Rules) -> None:
    """Each night that comes lets go what was told."""
    there = nights([START + timedelta(days=number) for number in range(12)])
    told = goes(there, rules, timedelta(days=1), UTC)
    for number in range(13, 60):
        night = snapshot(there[0].taken_at + timedelta(days=1), number)
        decisions = decide([night, *there], rules, UTC)
        for one in decisions:
            when = told.pop(one.snapshot.id, None) if not one.keep else None
            assert one.keep or one.snapshot.sequence > 12 or when == night.taken_at
        there = [one.snapshot for one in decisions if one.keep]
    assert told == {}


def test_how_long_each_stays() -> None:
    history = nights([START + timedelta(days=number) for number in range(5)])
    found = stays(history, Rules(3, daily=4), timedelta(days=1), UTC)
    assert [found[one.id].reasons for one in history[-2:]] == [
        ("last of the day 2024-01-02 (keep_daily)",), ("older than the last 3; not kept by keep_daily",),
    ]  # fmt: skip
    assert found[history[0].id].until == history[0].taken_at + timedelta(days=4)
    forever = stays(history, Rules(NIGHTS + 10), timedelta(days=1), UTC)
    assert {one.until for one in forever.values()} == {None}


@pytest.mark.parametrize("text", ["48h", "30d", "8w", "6m", "1y2m", "1y2m3w4d5h"])
def test_a_length_of_time_is_written_as_it_is_read(text: str) -> None:
    assert str(Span.parse(text)) == text


@pytest.mark.parametrize("text", ["", "0d", "5", "d", "1d2y", "-1d", "1.5d", "10 minutes", "9" * 30 + "d"])
def test_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="write "):
        Span.parse(text)


def each_month() -> Iterator[datetime]:
    return (datetime(2024, month, 28, 3, tzinfo=UTC) for month in range(1, 13))


@given(SPANS, st.sampled_from(list(each_month())))
def test_a_length_of_time_goes_back(span: Span, when: datetime) -> None:
    assert span == Span() or span.before(when) < when


def test_a_month_before_the_31st_is_the_last_day() -> None:
    assert Span.parse("1m").before(datetime(2024, 3, 31, 3, tzinfo=UTC)) == datetime(2024, 2, 29, 3, tzinfo=UTC)
    with pytest.raises(OverflowError):
        Span(years=999).before(datetime(900, 3, 31, tzinfo=UTC))
