"""What is lost between two trees: files that are gone or other, not those that moved, were rotated, or have heirs."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from snapmirror.snapshots.lines import Line
from snapmirror.snapshots.losses import Lines, Losses, count

OLD, NEW = "2026/01/01-00:00:00", "2026/11/20-03:00:00"
REST = b"2026/11/01-00:00:00"
Tree = Mapping[str, tuple[int, str]]  # size and time by path


def line(path: str, size: int, time: str) -> Line:
    return Line(f">f+++++++++|rw-r--r--|0|0|{size}|{time}|//{path}".encode())


def pairs(old: Tree, new: Tree) -> list[Lines]:
    found: list[Lines] = []
    for path in old.keys() | new.keys():
        before = line(path, *old[path]) if path in old else None
        after = line(path, *new[path]) if path in new else None
        if before != after:
            found.append((before, after))
    return found


def lost(old: Tree, new: Tree) -> int:
    return count(pairs(old, new), rest_before=REST).files


def files(names: list[str], time: str = OLD) -> dict[str, tuple[int, str]]:
    return {name: (1000 + place, time) for place, name in enumerate(names)}


def test_gone_and_changed_files_are_lost_with_their_bytes() -> None:
    old = {**files(["a", "b", "c"]), "daily": (50_000, NEW)}
    new = {"a": (1000, OLD), "b": (2000, NEW), "daily": (50_001, "2026/11/21-03:00:00"), "new": (5, NEW)}
    assert count(pairs(old, new), rest_before=REST) == Losses(gone=1, changed=2, bytes_at_rest=1001 + 1002)
    assert count(pairs(old, new), rest_before=REST, restless={b"daily", b"b"}) == Losses(
        gone=1, bytes_at_rest=1002, excused_changed=2
    )


def test_a_folder_and_a_mail_that_moved_are_not() -> None:
    old = files(["p/a", "p/b", "m/new/1.M2.host", "m/cur/2.M3.host:2,"])
    moved = {"old/p/a": old["p/a"], "old/p/b": old["p/b"]}
    mails = {"m/cur/1.M2.host:2,S": old["m/new/1.M2.host"], "m/cur/2.M3.host:2,RS": old["m/cur/2.M3.host:2,"]}
    assert lost(old, {**moved, **mails}) == 0


def test_rotated_logs_are_not() -> None:
    """`log.1` of the week before is `log.8` now, and `log.8` to `log.14` have left at the end."""
    days = [f"2026/10/{day:02d}-06:00:00" for day in range(1, 31)]
    old = {f"log.{number}": (9000 + number, days[20 - number]) for number in range(1, 15)}
    new = {f"log.{number}": (7000 + number, days[27 - number]) for number in range(1, 8)}
    new |= {f"log.{number + 7}": old[f"log.{number}"] for number in range(1, 8)}
    assert lost(old, new) == 0


def test_dated_dumps_and_releases_have_heirs() -> None:
    old = {f"db-2026-11-{day:02d}.sql": (900 + day, OLD) for day in range(1, 8)}
    new = {f"db-2026-11-{day:02d}.sql": (950 + day, NEW) for day in range(8, 15)}
    assert lost(old, new) == 0
    assert lost(old, dict(list(new.items())[:3])) == 4, "only three have come"
    old = files([f"releases/3fa9/{name}" for name in ("a.php", "b.php")])
    assert lost(old, files([f"releases/be07/{name}" for name in ("a.php", "b.php")], NEW)) == 0


def test_ransomware_is() -> None:
    old = files([f"IMG_{number:04d}.jpg" for number in range(50)])
    assert lost(old, {name: (size, NEW) for name, (size, _) in old.items()}) == 50, "in place, with the same size"
    assert lost(old, {f"{name}.locked": mark for name, mark in old.items()}) == 50, "only renamed"
    assert lost(old, {f"{name}.locked": (size + 512, NEW) for name, (size, _) in old.items()}) == 50
    assert lost(old, {f"{number:x}.enc": (1000 + number, NEW) for number in range(50)}) == 50


NAMES = st.sampled_from([f"{folder}{name}" for folder in ("", "d/", "e1/", "e2/") for name in ("a", "b", "x1", "x2")])
TREES = st.dictionaries(NAMES, st.tuples(st.integers(0, 3), st.sampled_from([OLD, NEW])))


@given(TREES, TREES)
def test_no_more_is_lost_than_differs_and_nothing_of_what_stays(old: Tree, new: Tree) -> None:
    differs = sum(new.get(path) != mark for path, mark in old.items())
    found = count(pairs(old, new), rest_before=REST)
    assert min(found.gone, found.changed, found.excused_gone, found.excused_changed) >= 0
    assert found.files + found.excused_gone + found.excused_changed == differs
    assert found.bytes_at_rest <= sum(size for size, time in old.values() if time == OLD)
    assert lost(old, old) == 0
    assert lost(old, {}) == len(old)
    assert lost(old, {**old, **{f"more/{name}": mark for name, mark in new.items()}}) == 0, "what comes takes nothing"
