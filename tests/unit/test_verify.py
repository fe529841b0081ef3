"""The parts of a verification that no real night shows: orders, checksum files, merged findings."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from snapmirror.errors import DamageError
from snapmirror.snapshots import checksums, packed
from snapmirror.snapshots.entry import escape, plain_line
from snapmirror.snapshots.lines import Line, since_prefix, with_number
from snapmirror.snapshots.manifest import DamagedManifest, Header, Writer
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.verify.content import ContentCheck, Sums
from snapmirror.snapshots.verify.findings import CONTENT, EXTRA, Report
from snapmirror.snapshots.verify.tree import expected

FILE = b"f|rw-r--r--|0|0|5|2026/11/20-03:00:00"
FOLDER = b"d|rwxr-xr-x|0|0|4096|2026/11/20-03:00:00"
ID = "2026-11-20T030000Z"
HEADER = Header(ID, 3)


def snapshot(sequence: int = 3) -> Snapshot:
    return Snapshot(id=ID, sequence=sequence, slot=1, files=0, entries=0, bytes=0, new_bytes=0)


def link(path: bytes, leader: bytes) -> bytes:
    return b"hf+++++++++" + FILE[1:] + b"| => " + leader + b"//" + path


def manifest(path: Path, lines: list[bytes], header: Header = HEADER) -> Path:
    writer = Writer(header)
    for line in lines:
        writer.add(with_number(since_prefix(2), Line(line)))
    path.write_bytes(writer.finish())
    return path


def test_links_are_merged_into_the_order_of_names(tmp_path: Path) -> None:
    lines = [
        plain_line(FOLDER, b"."), plain_line(FILE, b"m"), plain_line(FOLDER, b"d"), plain_line(FILE, b"d/x"),
        plain_line(FOLDER, b"e"), link(b"a", b"m"), link(b"z", b"m"), link(b"d/y", b"m"),
    ]  # fmt: skip
    found = list(expected(manifest(tmp_path / "m", lines), snapshot()))
    assert [one.entry.path for one in found] == [b".", b"a", b"m", b"z", b"d", b"d/x", b"d/y", b"e"]
    assert {one.number for one in found} == {2}
    assert [one.key for one in found] == sorted(one.key for one in found)


@pytest.mark.parametrize(
    ("names", "header", "said"),
    [
        ([b"b", b"a"], HEADER, "out of order"),
        ([b"a", b"a"], HEADER, "out of order"),
        ([b"a"], Header(ID, 4), "is that of"),
        ([b"a"], Header("2026-11-21T030000Z", 3), "is that of"),
    ],
)
def test_a_manifest_that_is_not_what_it_should_be(
    tmp_path: Path, names: list[bytes], header: Header, said: str
) -> None:
    path = manifest(tmp_path / "m", [plain_line(FILE, name) for name in names], header)
    with pytest.raises(DamagedManifest, match=said):
        list(expected(path, snapshot()))


def sums_of(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """A checksum file of (name, checksum)."""
    spool = Spool[bytes, bytes]()
    for name, checksum in pairs:
        spool.append((checksum, escape(name)))
    return packed.pack(spool)


class Folder:
    """Where checksum files are looked for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def checksums(self, number: int) -> Path:
        return self.root / f"{number}.zst"


def test_checksums_are_told_apart_by_number_and_name(tmp_path: Path) -> None:
    one, two = b"0" * 32, b"f" * 32
    (tmp_path / "1.zst").write_bytes(sums_of([(b"a\n", one), (b"b", two)]))
    (tmp_path / "3.zst").write_bytes(sums_of([(b"a\n", two)]))
    sums = Sums()
    sums.load(Folder(tmp_path), 3)  # type: ignore[arg-type]
    assert sums.of(1, b"a\n") == bytes.fromhex(one.decode())
    assert sums.of(3, b"a\n") == bytes.fromhex(two.decode())
    assert sums.of(2, b"a\n") is sums.of(1, b"c") is sums.of(3, b"b") is None
    assert (sums.numbers, sums.damaged) == ({1, 3}, {})


def test_an_inode_that_was_changed_in_place_is_read_once_for_each_content(tmp_path: Path) -> None:
    """As ZFS has it: in two snapshots one inode number, and two contents."""
    path, report = tmp_path / "file", Report("web")
    contents = ContentCheck(Sums(), report, 1.0, 0, lambda names, size: None)

    def read(sequence: int, wanted: bytes) -> None:
        md5 = hashlib.md5(wanted, usedforsecurity=False).digest()
        contents.read(snapshot(), os.fsencode(path), sequence, b"file", path.stat(), md5)

    path.write_bytes(b"first")
    read(1, b"first")
    path.write_bytes(b"damaged")
    read(1, b"first")
    assert (report.files_read, report.findings) == (1, [])
    read(2, b"second")
    read(2, b"second")
    assert report.files_read == 2
    assert [(finding.kind, finding.number) for finding in report.findings] == [(CONTENT, 2)]


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_cut_checksum_file_is_damaged_wherever_it_is_cut(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "1.zst"
    data = sums_of([(b"name %d" % number, b"%032x" % number) for number in range(50)])
    path.write_bytes(data[:-cut])
    with pytest.raises(DamageError):
        list(checksums.read(path))
    path.write_bytes(data)
    assert len(list(checksums.read(path))) == 50
    path.write_bytes(sums_of([]))
    assert list(checksums.read(path)) == []


def test_the_same_finding_in_several_snapshots_is_one() -> None:
    report = Report("web")
    for one in ("c", "b", "b", "a"):
        report.add(one, CONTENT, b"x", "has another", 7)
    report.add("a", CONTENT, b"x", "has another", 8)
    report.add("a", EXTRA, b"y", "came")
    assert [(finding.number, finding.snapshots) for finding in report.findings] == [
        (7, ["c", "b", "a"]), (8, ["a"]), (0, ["a"]),
    ]  # fmt: skip


def test_endless_findings_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapmirror.snapshots.verify.findings._MOST", 5)
    report = Report("web")
    for number in range(12):
        report.add("a", EXTRA, b"%d" % number, "came")
    assert (len(report.findings), report.left_out) == (5, 7)
