"""What a recursive run reports, beside the plan: in any order each planned name is as planned, told or missing."""

from __future__ import annotations

import hashlib
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from snapmirror.night.whole import Stream
from snapmirror.snapshots.entry import escape, path_key, path_of, plain_line, with_time
from snapmirror.snapshots.lines import Line, is_file
from snapmirror.snapshots.plan import Plan
from snapmirror.snapshots.spool import Spool
from snapmirror.tools.rsync_output import Sent

NAMES = st.lists(st.sampled_from((b"a", b"b", b"c\n", b"d\\#012", b"e.")), min_size=1, max_size=3).map(b"/".join)
TREES = st.dictionaries(NAMES, st.sampled_from((b"f", b"d", b"L")), max_size=12)


def lines_of(tree: dict[bytes, bytes]) -> list[Line]:
    """In rsync's order; the size of each is another one."""
    lines = [
        plain_line(
            kind + b"|rw-r--r--|0|0|%d|2026/11/20-03:00:00" % number, path, b" -> t" if kind == b"L" else b""
        )
        for number, (path, kind) in enumerate(tree.items(), 1)
    ]  # fmt: skip
    return sorted(lines, key=path_key)


def planned(lines: list[Line]) -> Plan:
    return Plan("2026-11-20T030000Z", 1, transfer=Spool((None, line) for line in lines))


def sent(line: Line) -> Sent:
    return Sent(line, hashlib.md5(line, usedforsecurity=False).hexdigest().encode() if is_file(line) else b"")


@given(tree=TREES)
def test_nothing_is_remembered_of_a_tree_that_comes_as_planned(tree: dict[bytes, bytes]) -> None:
    lines = lines_of(tree)
    stream = Stream(planned(lines))
    sizes = [stream.take(sent(line)) for line in lines]
    stream.end()
    assert sizes == [int(line.split(b"|")[4]) if is_file(line) else 0 for line in lines]
    assert not stream.told and not stream.missing and not stream.unchecked
    files = [(sent(line).checksum, escape(path_of(line))) for line in lines if is_file(line)]
    assert list(stream.checksums) == files


@given(tree=TREES, more=TREES, seed=st.integers(0, 1000), gone=st.sets(st.integers(0, 11)), disorder=st.booleans())
def test_whatever_comes(
    tree: dict[bytes, bytes], more: dict[bytes, bytes], seed: int, gone: set[int], disorder: bool
) -> None:
    """Names that are left out, repeated, changed, of another kind, new, or in another order."""
    rng, lines = random.Random(seed), lines_of(tree)
    coming = [line for number, line in enumerate(lines) if number not in gone]
    coming = [with_time(line, 5) if rng.random() < 0.2 else line for line in coming]
    coming += [line for line in lines_of(more) if rng.random() < 0.5]
    if disorder:
        rng.shuffle(coming)
    else:
        coming.sort(key=path_key)
    stream, known = Stream(planned(lines)), {path_of(line) for line in lines}
    first = Counter[bytes]()
    for line in coming:
        if stream.take(sent(line)) is not None:
            first[path_of(line)] += 1
    stream.end()
    reported = {path_of(line) for line in coming}
    assert stream.missing == known - reported
    assert set(first.values()) <= {1} and set(first) <= known
    exact = known & reported - set(stream.told)
    checked = {name for _, name in stream.checksums}
    for line in lines:
        path = path_of(line)
        if path in exact:
            assert coming.count(line) == [path_of(one) for one in coming].count(path) == 1
            assert (escape(path) in checked) == is_file(line)
    for path, told in stream.told.items():
        reports = [line for line in coming if path_of(line) == path]
        assert told.line in reports
        if len({line[1:2] for line in reports}) == 1:
            assert told.line == reports[-1]
            assert len(reports) == 1 or not told.checksum
