"""What is read from outside is an entry, a snapshot, a configuration, or an error with a sentence: never a crash.

Hypothesis starts from true files and lines and damages them; `--hypothesis-profile=thorough` searches longer.
"""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from snapmirror.config import parse as parse_config
from snapmirror.config.sample import sample
from snapmirror.errors import ConfigError, DamageError, StorageError, TransferError
from snapmirror.snapshots import checksums, entry, packed, record
from snapmirror.snapshots.compare import compare
from snapmirror.snapshots.lines import Line, as_lines, unnumbered
from snapmirror.snapshots.manifest import NOTHING, Header, Reader
from snapmirror.snapshots.merge import OutOfOrder
from snapmirror.snapshots.spool import Spool
from snapmirror.tools import rsync_output
from tests.fuzz.seeds import LINES, manifest, unpacked

PIECES = [
    b"..",
    b"/",
    b"//",
    b"|",
    b"\\#000",
    b"\\#056",
    b" -> ",
    b" => ",
    b"-1",
    b"h",
    b"*",
    b"\xff",
    b"9" * 30,
    b"\n",
]


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Some bytes with up to four places cut out, doubled or overwritten."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)))
        data[start : start + length] = piece * draw(st.integers(0, 2))
    return bytes(data)


def temporary(data: bytes, use: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        use(path)


@given(st.sampled_from(LINES).flatmap(damaged))
@example(b">f+++++++++|rw-r--r--|0|0|5|2026/11/20-03:00:00|//../x")
@example(b">f+++++++++|rw-r--r--|0|0|5|0000/00/00-00:00:00|//x")
def test_a_line(line: bytes) -> None:
    with suppress(entry.BadLine):
        one = entry.parse(Line(line))
        assert entry.is_inside(one.path)
        assert one.mtime is not None and one.mode >= 0 and one.size >= 0


@given(st.lists(st.one_of(st.sampled_from(LINES), st.sampled_from(LINES).flatmap(damaged)), max_size=9))
def test_a_listing(lines: list[bytes]) -> None:
    """A plan of it names only what stays in the tree."""
    listed = b"\n".join(lines).split(b"\n")
    with suppress(TransferError, OutOfOrder):
        plan = compare(NOTHING, iter([as_lines(listed)]), Header("2026-11-20T030000Z", 4), marked=set())
        for _, new in plan.pairs():
            assert new is not None and entry.is_inside(entry.parse(new).path)
        for (_, new), target in plan.links:
            assert new is not None and entry.is_inside(entry.parse(new).path) and entry.is_inside(target)
        assert sum(1 for _ in Reader(plan.manifest).entries()) == plan.totals.entries


@given(st.booleans().flatmap(lambda cut: damaged(manifest(in_pieces=cut))))
def test_a_manifest_file(data: bytes) -> None:
    """zstd's checksum finds any damage of the file."""
    with suppress(DamageError):
        assert list(Reader(data)) == list(Reader(manifest()))


@given(damaged(manifest(in_pieces=True)))
def test_a_manifest_file_in_pieces(data: bytes) -> None:
    with suppress(DamageError):
        assert [piece.lines for piece in Reader(data).pieces()] == [LINES[:-1]]


@given(st.booleans().map(lambda cut: manifest(in_pieces=cut)).map(unpacked).flatmap(damaged))
def test_a_manifest_that_was_packed_again(text: bytes) -> None:
    """As somebody would who changes it on purpose."""
    data = zstandard.ZstdCompressor(write_checksum=True).compress(text)
    with suppress(DamageError):
        for number, one in Reader(data).entries():
            assert number >= 0 and entry.is_inside(one.path)
    with suppress(DamageError):
        assert sum(len(piece.lines) for piece in Reader(data).pieces()) <= len(text)


@given(damaged(packed.pack(Spool([(b"d41d8cd98f00b204e9800998ecf8427e", b"etc/n\\#012l"), (b"0" * 32, b"a")]))))
def test_a_checksum_file(data: bytes) -> None:
    def use(path: Path) -> None:
        with suppress(DamageError):
            assert dict(checksums.read(path)) == {b"etc/n\nl": b"d41d8cd98f00b204e9800998ecf8427e", b"a": b"0" * 32}

    temporary(data, use)


RECORD = record.Record(
    sequence=2,
    snapshots=[
        record.Snapshot(id="2026-11-20T030000Z", sequence=2, slot=1, files=1, entries=2, bytes=3, new_bytes=3),
        record.Snapshot(id="2026-11-19T030000Z", sequence=1, slot=2, files=1, entries=2, bytes=3, new_bytes=3),
    ],
    moves=[record.Move(inode=1, source="backup.1", target="backup.2")],
)


@given(damaged(RECORD.model_dump_json(indent=1).encode()))
def test_a_record(data: bytes) -> None:
    def use(path: Path) -> None:
        with suppress(StorageError):
            read = record.load(path)
            assert all(snapshot.taken_at for snapshot in read.snapshots)
            assert all(".." not in Path(name).parts for move in read.moves for name in (move.source, move.target))

    temporary(data, use)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["", "..", "/", "1G"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_a_configuration(data: st.DataObject) -> None:
    """The sample with some of its values replaced, and strangers among its keys."""
    config: dict[str, Any] = tomllib.loads(sample())
    for _ in range(data.draw(st.integers(1, 4))):
        place: Any = config
        while isinstance(place, (dict, list)) and place:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if data.draw(st.booleans()) or not isinstance(place[key], (dict, list)):
                if isinstance(place, dict) and data.draw(st.booleans()):
                    place[data.draw(st.text(max_size=8))] = data.draw(VALUES)
                else:
                    place[key] = data.draw(VALUES)
                break
            place = place[key]
    with suppress(ConfigError):
        assert parse_config(config).mirrors


@given(st.sampled_from(LINES).map(lambda line: b"0" * 32 + b"|" + line).flatmap(damaged))
def test_what_rsync_says_of_a_transfer(raw: bytes) -> None:
    sent = rsync_output.parse_sent(b"word|" + raw, "word")
    if sent is not None:
        with suppress(entry.BadLine):
            entry.parse(Line(sent.line))
    rsync_output.literal_bytes(raw)


def test_the_files_that_the_damage_starts_from_are_good() -> None:
    assert [unnumbered(line) for line in Reader(manifest())] == LINES
    assert json.loads(RECORD.model_dump_json())["version"] == 1
    with pytest.raises(OutOfOrder):
        compare(NOTHING, iter([as_lines([*LINES[:2], LINES[1]])]), Header("2026-11-20T030000Z", 4), marked=set())
