"""Which old file a new name may be: by attributes, then by the end of the path; none twice, none that stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snapmirror.snapshots.compare import compare
from snapmirror.snapshots.entry import linked_line, parse, path_key, plain_line
from snapmirror.snapshots.freed import Freed
from snapmirror.snapshots.lines import Line
from snapmirror.snapshots.manifest import Header, Lines
from snapmirror.snapshots.plan import Plan, hold_back_deletions


def line(path: bytes, size: int = 5, time: bytes = b"2026/11/20-03:00:00", mode: bytes = b"rw-r--r--") -> Line:
    return plain_line(b"f|%b|0|0|%d|%b" % (mode, size, time), path)


def plan(old: list[Line], new: list[Line]) -> Plan:
    def order(lines: list[Line]) -> list[Line]:
        return sorted(lines, key=lambda one: (one[:1] == b"h", path_key(one)))

    root = plain_line(b"d|rwxr-xr-x|0|0|4096|2026/11/20-03:00:00", b".")
    before = Lines(order([root, *old]), 1)
    return compare(before, iter([order([root, *new])]), Header("2026-11-21T030000Z", 2), marked=set())


def test_a_renamed_file_is_found_once() -> None:
    new = line(b"b")
    freed = Freed(plan([line(b"a")], [new]))
    assert len(freed) == 1
    assert freed.take(new) == b"a"
    assert freed.take(new) is None


def test_what_stays_or_differs_is_not_found() -> None:
    for old, new in (
        ([line(b"a"), line(b"z")], [line(b"a"), line(b"b")]),  # z is gone and alike: only it
        ([line(b"a")], [line(b"a"), line(b"b")]),  # a copy
        ([line(b"a", size=6)], [line(b"b")]),
        ([line(b"a", time=b"2026/11/20-03:00:01")], [line(b"b")]),
        ([line(b"a", mode=b"rwx------")], [line(b"b")]),
        ([line(b"a", size=0)], [line(b"b", size=0)]),
    ):
        found = Freed(plan(old, new)).take(new[-1])
        assert found == (b"z" if len(old) > 1 else None), (old, new)


def test_a_rotated_log_is_found_though_its_old_name_stays() -> None:
    times = [b"2026/11/20-03:00:0%d" % second for second in range(4)]
    old = [line(b"log", time=times[2]), line(b"log.1", time=times[1]), line(b"log.2", time=times[0])]
    new = [line(b"log", time=times[3]), line(b"log.1", time=times[2]), line(b"log.2", time=times[1])]
    freed = Freed(plan(old, new))
    assert [freed.take(one) for one in new] == [None, b"log", b"log.1"]


def test_of_files_that_are_alike_the_one_with_the_longest_common_end_is_taken() -> None:
    old = [line(b"old/%b/%b" % (folder, name)) for folder in (b"x", b"y") for name in (b"one", b"two")]
    new = [line(b"new/%b/%b" % (folder, name)) for folder in (b"x", b"y") for name in (b"one", b"two")]
    freed = Freed(plan(old, new))
    for one in reversed(new):
        assert freed.take(one) == parse(one).path.replace(b"new/", b"old/")


def test_a_file_that_is_marked_is_not_its_own_old_file() -> None:
    root = plain_line(b"d|rwxr-xr-x|0|0|4096|2026/11/20-03:00:00", b".")
    lines = [root, line(b"a")]
    changed = compare(Lines(lines, 1), iter([lines]), Header("2026-11-21T030000Z", 2), marked={b"a"})
    assert len(Freed(changed)) == 1
    assert Freed(changed).take(lines[1]) is None


def test_a_group_is_freed_once_and_only_as_a_whole() -> None:
    attributes = b"f|rw-r--r--|0|0|5|2026/11/20-03:00:00"
    old = [line(b"a"), linked_line(attributes, b"b", b"a")]
    assert Freed(plan(old, [line(b"a"), line(b"c")])).take(line(b"c")) is None, "b keeps its file as a"
    freed = Freed(plan(old, [line(b"c"), line(b"d")]))
    assert {freed.take(line(b"c")), freed.take(line(b"d"))} in ({b"a", None}, {b"b", None})
    new = [line(b"c"), linked_line(attributes, b"d", b"c")]
    assert Freed(plan([line(b"a")], new)).take(new[1]) is None


def test_nothing_is_freed_if_deletions_are_held_back() -> None:
    held = plan([line(b"a")], [line(b"b")])
    hold_back_deletions(held)
    assert len(Freed(held)) == 0


def test_the_index_is_bounded() -> None:
    old = [line(b"old%03d" % number) for number in range(100)]
    new = [line(b"new%03d" % number) for number in range(100)]
    freed = Freed(plan(old, new), most=10)
    assert len(freed) == 10
    assert sum(freed.take(one) is not None for one in new) == 10


PATHS = st.sampled_from([b"a", b"b", b"c", b"d/a", b"d/b", b"e/a"])
TREES = st.dictionaries(PATHS, st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=6)


@given(TREES, TREES)
def test_no_file_is_given_twice_and_none_that_a_name_keeps(
    before: dict[bytes, tuple[int, int]], after: dict[bytes, tuple[int, int]]
) -> None:
    def lines(tree: dict[bytes, tuple[int, int]]) -> list[Line]:
        folders = {path[:1] for path in tree if b"/" in path}
        made = [plain_line(b"d|rwxr-xr-x|0|0|4096|2026/11/20-03:00:00", folder) for folder in folders]
        files = [line(path, size, b"2026/11/20-03:00:0%d" % time) for path, (size, time) in tree.items()]
        return made + files

    changes = plan(lines(before), lines(after))
    freed, given_away = Freed(changes), list[bytes]()
    for _, new in changes.transfer:
        assert new is not None
        if (old := freed.take(new)) is not None:
            path = parse(new).path
            assert before[old] == after[path]
            assert after.get(old) != before[old]
            given_away.append(old)
    assert len(given_away) == len(set(given_away))
