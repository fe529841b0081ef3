"""Which snapshot is meant, which names a pattern means, what differs between two manifests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.errors import UsageError
from snapmirror.snapshots.browse import normal, pattern_of
from snapmirror.snapshots.entry import escape
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.select import choose, matching

IDS = ("2026-11-20T030000Z", "2026-11-19T150000Z", "2026-11-19T030000Z", "2026-10-01T030000Z")


def history(*ids: str) -> list[Snapshot]:
    return [
        Snapshot(id=one, sequence=len(ids) - place, slot=place + 1, files=0, entries=0, bytes=0, new_bytes=0)
        for place, one in enumerate(ids)
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("newest", IDS[0]),
        ("latest", IDS[0]),
        ("1", IDS[0]),
        ("4", IDS[3]),
        ("backup.2", IDS[1]),
        ("2026-11-20", IDS[0]),
        ("2026-11-20T030000Z", IDS[0]),
        ("2026-11-19T15", IDS[1]),
        ("2026-11-19t15:00", IDS[1]),
        ("2026-10", IDS[3]),
    ],
)
def test_what_people_type(text: str, found: str) -> None:
    chosen = choose({"web": history(*IDS)}, text)
    assert (chosen.mirror, chosen.snapshot.id) == ("web", found)


def test_a_slot_number_goes_before_a_year() -> None:
    ids = [f"2026-11-20T03{number // 60:02d}{number % 60:02d}Z" for number in range(2100)][::-1]
    assert [one.slot for one in matching(history(*ids), "2026")] == [2026]
    assert len(matching(history(*ids[:10]), "2026")) == 10


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("2026-11-19", "the beginning of 2 snapshots: 2026-11-19T150000Z, 2026-11-19T030000Z", "write more"),
        ("2026-11-21", "no snapshot is called '2026-11-21'", "2026-11-20T030000Z"),
        ("5", "there is no snapshot in slot 5", "the slots 1 to 4"),
        ("backup.0", "there is no snapshot in slot 0", "the slots 1 to 4"),
        ("2026-11-20T030001Z", "no snapshot", "2026-11-20T030000Z"),
        ("", "no snapshot", "2026"),
        ("\x1b[2J", r"'\x1b[2J'", "2026"),
    ],
)
def test_what_is_not_meant(text: str, sentence: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        choose({"web": history(*IDS)}, text)
    assert sentence in error.value.message
    assert hint in error.value.hint


def test_several_mirrors() -> None:
    two = {"web": history(*IDS), "db": history(*IDS[2:])}
    assert choose(two, IDS[0]).mirror == "web"
    with pytest.raises(UsageError, match="several mirrors: web, db") as error:
        choose(two, "newest")
    assert "--mirror" in error.value.hint
    with pytest.raises(UsageError, match="holds no snapshots yet"):
        choose({"web": []}, "newest")


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"/", b"."), (b".", b"."), (b"", b"."), (b"//a//./b/", b"a/b"), (b"./-x", b"-x"), (b" a ", b" a ")],
)
def test_paths_are_relative_to_the_source(path: bytes, expected: bytes) -> None:
    assert normal(path) == expected


NAMES = st.lists(
    st.binary(min_size=1, max_size=6).filter(lambda name: not set(name) & set(b"/\0")), min_size=1, max_size=3
)


@given(NAMES, st.sampled_from([b"", b"*", b"/"]))
def test_the_sign_of_a_pattern_is_in_every_line_that_it_wants(parts: list[bytes], prefix: bytes) -> None:
    """Lines are looked at only if they hold the sign: it must never hide one."""
    path = b"/".join(parts)
    pattern = pattern_of(prefix + path)
    name = normal(path)
    if name != b"." and pattern.wanted(name):
        assert pattern.sign in b"//" + escape(name)
    if not set(path) & set(b"*?[") and prefix != b"*":
        assert pattern.wanted(name)


def test_a_star_matches_slashes_only_in_whole_paths() -> None:
    assert pattern_of(b"a*.conf").wanted(b"etc/ab.conf")
    assert not pattern_of(b"/a*.conf").wanted(b"etc/ab.conf")
    assert pattern_of(b"/etc/*.conf").wanted(b"etc/deep/ab.conf")
    assert pattern_of(b"a.conf").wanted(b"etc/a.conf") and pattern_of(b"a.conf").wanted(b"a.conf")
    assert not pattern_of(b"/a.conf").wanted(b"etc/a.conf") and not pattern_of(b"a.conf").wanted(b"etc/ba.conf")
    assert not pattern_of(b"A.conf").wanted(b"etc/a.CONF")
    assert pattern_of(b"A.conf", ignore_case=True).wanted(b"etc/a.CONF")
    assert pattern_of(b"/ETC/*.conf", ignore_case=True).wanted(b"etc/X.CONF")
