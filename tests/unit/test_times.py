"""Times of files, all 64 bits: read, printed and shown."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.snapshots import times

INT64 = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
ODD = [
    -62167219200, -62167219201, -62135596801, -60000000000, -99999999999, -200000000000, -(1 << 31), -(1 << 31) - 1,
    -1, 0, (1 << 31) - 1, 1 << 31, 15032385536, 16299260425, 253402300799, 253402300800, 10**12, 67767976233532799,
    67768036191676799, 67768036191676800, -67768040609740800, -67768040609740801, 1 << 62, -(1 << 62), (1 << 63) - 1,
    -(1 << 63),
]  # fmt: skip


@given(INT64)
def test_what_is_written_is_read(seconds: int) -> None:
    assert times.parse(times.written(seconds)) == seconds
    assert times.fits(times.written(seconds), seconds)
    assert times.fits(times.printed(seconds), seconds)


@given(st.integers(min_value=-62135596800, max_value=253402300799))
def test_pythons_own_years(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert times.written(seconds).decode() == f"{moment.year:04d}{moment:/%m/%d-%H:%M:%S}"
    assert times.shown(seconds) == f"{moment.year:04d}{moment:-%m-%d %H:%M:%S}"
    assert times.iso(seconds) == f"{moment.year:04d}{moment:-%m-%dT%H:%M:%SZ}"


@given(INT64, st.sampled_from((-(1 << 31), 0)), st.sampled_from(((1 << 31) - 1, 15_032_385_535, 16_299_260_424)))
def test_the_nearest_that_a_disk_has_is_no_damage(seconds: int, first: int, last: int) -> None:
    assert times.fits(times.printed(seconds), min(max(seconds, first), last))


@given(st.integers(min_value=0, max_value=(1 << 31) - 1), INT64)
def test_every_other_time_is_damage(told: int, found: int) -> None:
    assert times.fits(times.printed(told), found) == (told == found)


@pytest.mark.parametrize(
    "text",
    [b"", b"2026/13/01-00:00:00", b"2026/02/30-00:00:00", b"2026/01/01-24:00:00", b"x", b"2026-01-01 00:00:00",
     b"292277026597/01/01-00:00:00", b"999999999999/01/01-00:00:00", b"2026/01/01-00:61:00"],
)  # fmt: skip
def test_what_is_no_time(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        times.parse(text)


def test_as_rsync_prints_them() -> None:
    """On /dev/shm, which holds all 64 bits."""
    folder = Path("/dev/shm") / f"snapmirror-times-{os.getpid()}"
    folder.mkdir()
    try:
        for seconds in ODD:
            (folder / str(seconds)).touch()
            os.utime(folder / str(seconds), ns=(0, seconds * 10**9))
            assert os.lstat(folder / str(seconds)).st_mtime_ns == seconds * 10**9
        argv = ["rsync", "--recursive", "--dry-run", "--out-format=%M|%n", f"{folder}/", "/nonexistent/x/"]
        lines = subprocess.run(argv, capture_output=True, check=True, env={**os.environ, "TZ": "UTC"}).stdout
        told = {name: text for text, name in (line.split(b"|") for line in lines.splitlines())}
        assert {one: times.printed(one) for one in ODD} == {one: told[b"%d" % one] for one in ODD}
        for one in ODD:
            assert times.fits(told[b"%d" % one], one)
    finally:
        subprocess.run(["rm", "-r", folder], check=True)


def test_how_they_are_shown() -> None:
    assert times.shown(10**12) == "33658-09-27 01:46:40" and times.iso(10**12) == "+033658-09-27T01:46:40Z"
    assert times.shown(-(10**12)) == "-29719-04-05 22:13:20" and times.iso(-(10**12)) == "-029719-04-05T22:13:20Z"
    assert times.shown((1 << 63) - 1) == "292277026596-12-04 15:30:07"
