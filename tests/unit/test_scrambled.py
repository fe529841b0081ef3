"""Which files are looked at for encryption, and what is concluded: on real trees, from a plan of real lines."""

from __future__ import annotations

import os
import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from snapmirror.night.scrambled import Replaced, look, read, sample
from snapmirror.snapshots.lines import Line, since_prefix, with_number
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan

TEXT = b"The quick brown fox jumps over the lazy dog, again and again. " * 40
RNG = random.Random(1)


def line(path: str, size: int, time: str = "2026/01/01-00:00:00") -> Line:
    return Line(f">f+++++++++|rw-r--r--|0|0|{size}|{time}|//{path}".encode())


def plan_of(before: dict[str, int], after: dict[str, int]) -> Plan:
    """The plan of a night between two trees of files with these sizes, all of which were written anew."""
    plan = Plan("2026-11-20T030000Z", 2)
    for path, size in after.items():
        old = with_number(since_prefix(1), line(path, before[path])) if path in before else None
        plan.transfer.append((old, line(path, size, "2026/11/20-00:00:00")))
    plan.delete = [with_number(since_prefix(1), line(path, size)) for path, size in before.items() if path not in after]
    return plan


def chosen(before: dict[str, int], after: dict[str, int]) -> dict[str, str]:
    return {one.old.decode(): one.new.decode() for one in sample(plan_of(before, after), random.Random(3), 1000)}


def test_files_are_paired_with_what_replaces_them() -> None:
    before = {"same.txt": 900, "d/a.doc": 500, "d/b.doc": 600, "d/c.tar.gz": 700, "e/x": 5000, "f/moved": 800, "n": 64}
    after = {"same.txt": 200, "d/a.doc.locked": 756, "d/b.locked": 600, "d/c.tar.gz.id-7.lock": 900, "e/9f3a7c": 5016}
    after |= {"f.enc/moved": 800, "n.gz": 9000}
    assert chosen(before, after) == {
        "same.txt": "same.txt", "d/a.doc": "d/a.doc.locked", "d/b.doc": "d/b.locked",
        "d/c.tar.gz": "d/c.tar.gz.id-7.lock", "e/x": "e/9f3a7c", "f/moved": "f.enc/moved",
    }  # fmt: skip


def test_what_has_nothing_to_do_with_each_other_is_not_paired() -> None:
    """A log that was compressed, a picture that was converted, files that come and go in other folders."""
    assert chosen({"log": 90_000, "a.bmp": 3_000_000}, {"log.gz": 9_000, "a.jpg": 200_000}) == {}
    assert chosen({"in/1": 4000}, {"out/2": 4000}) == {}
    assert chosen({"d/x": 10}, {"d/x": 10}) == {}, "too small to tell anything"


SIZES = st.dictionaries(st.sampled_from([f"{d}/{n}{e}" for d in "ab" for n in "xyz" for e in ("", ".t", ".t.u")]),
                        st.integers(0, 20_000))  # fmt: skip


@given(SIZES, SIZES)
def test_every_pair_is_of_files_that_are_there_each_once(before: dict[str, int], after: dict[str, int]) -> None:
    plan = plan_of(before, after)
    pairs = sample(plan, random.Random(3), 1000)
    assert len({one.old for one in pairs}) == len({one.new for one in pairs}) == len(pairs)
    assert all(one.old.decode() in before and one.new.decode() in after for one in pairs)
    assert len(sample(plan, random.Random(3), 4)) <= 4


def written(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def judged(tmp_path: Path, old: list[bytes], new: list[bytes], limit: float = 0.5) -> tuple[int, int]:
    before = written(tmp_path / "old", {str(number): data for number, data in enumerate(old)})
    after = written(tmp_path / "new", {str(number): data for number, data in enumerate(new)})
    pairs = [Replaced(str(number).encode(), str(number).encode()) for number in range(len(old))]
    found = look(pairs, before, after, limit)
    return len(found.scrambled), found.plain


def test_encrypted_files_are_told_from_edited_and_from_compressed_ones(tmp_path: Path) -> None:
    noise = [RNG.randbytes(3000) for _ in range(30)]
    edited = [TEXT + b"more %d" % number for number in range(10)]
    assert judged(tmp_path / "1", [TEXT] * 40, [*noise, *edited]) == (30, 40)
    assert judged(tmp_path / "2", noise, [RNG.randbytes(3000) for _ in noise]) == (0, 0), "random before"
    scrambled, plain = judged(tmp_path / "3", [TEXT] * 40, [*noise[:10], *edited, *edited, *edited])
    assert scrambled <= plain / 2


def test_old_content_is_read_only_where_it_can_matter(tmp_path: Path) -> None:
    """Most of a night's files are plain: nothing of the newest snapshot is touched, which lies cold on the disk."""
    before = written(tmp_path / "old", {str(number): TEXT for number in range(40)})
    after = written(tmp_path / "new", {str(n): RNG.randbytes(900) if n < 10 else TEXT for n in range(40)})
    for path in before.iterdir():
        os.utime(path, (1, 1))
    pairs = [Replaced(str(number).encode(), str(number).encode()) for number in range(40)]
    assert look(pairs, before, after, 0.5).scrambled == []
    assert all(path.stat().st_atime == 1 for path in before.iterdir())


def test_no_name_is_followed_out_of_the_tree(tmp_path: Path) -> None:
    root = written(tmp_path / "tree", {"d/file": TEXT})
    (root / "link").symlink_to(root / "d/file")
    (root / "folder").symlink_to(root / "d")
    os.mkfifo(root / "fifo")
    for name in (b"link", b"folder/file", b"fifo", b"absent", b"d", b"../old"):
        assert read(Tree(root), name) == ([], 0)
    windows, size = read(Tree(root), b"d/file")
    assert size == len(TEXT) and windows[0] == TEXT[:4096]
