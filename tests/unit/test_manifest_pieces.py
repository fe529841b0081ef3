"""Manifests in pieces: whatever changes, they hold the same entries, and most of what has not changed is shared."""

from __future__ import annotations

import gc
import json
import os
import random
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from snapmirror.snapshots import entry
from snapmirror.snapshots.checksums import drop_unused
from snapmirror.snapshots.compare import compare
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.hardlink.shortcuts import FromNotes
from snapmirror.snapshots.lines import (
    Line,
    Numbered,
    files_of,
    is_entry,
    is_link,
    since_prefix,
    unnumbered,
    with_number,
)
from snapmirror.snapshots.manifest import DamagedManifest, Header, Lines, Reader, Writer, cut, in_memory
from snapmirror.snapshots.manifest.pieces import located, nothing
from snapmirror.snapshots.manifest.storing import _aligned, _laid_out, _Run, store
from snapmirror.snapshots.record import Snapshot, make_id
from tests.fuzz.seeds import unpacked

OLD, NEW = Header("2026-11-19T030000Z", 6), Header("2026-11-20T030000Z", 7)


def tree(rng: random.Random, files: int) -> dict[bytes, bytes]:
    """The attributes of so many files in folders, by name; some are further names of the first."""
    names = [b"folder%02d/file%05d" % (rng.randrange(20), number) for number in range(files)]
    return {name: b"%d|2026/11/20-03:00:%02d" % (rng.randrange(9), rng.randrange(60)) for name in names}


def changed(rng: random.Random, files: dict[bytes, bytes], changes: int) -> dict[bytes, bytes]:
    """The same with files that are new, gone, or otherwise."""
    files = dict(files)
    for _ in range(min(changes, len(files))):
        name = rng.choice(list(files))
        if rng.random() < 0.7:
            files[name] = b"99|2026/11/20-03:00:%02d" % rng.randrange(60)
        else:
            del files[name]
            files[b"folder%02d/new%05d" % (rng.randrange(25), rng.randrange(10**5))] = b"1|2026/11/20-03:00:00"
    return files


def listing(files: dict[bytes, bytes], links: int) -> list[list[Line]]:
    """As rsync lists them, in blocks, with hard links and a message between."""
    folders = {entry.parent(name) for name in files}
    lines = [Line(b"cd+++++++++|rwxr-xr-x|0|0|4096|2026/11/20-03:00:00|//%s/" % name) for name in folders | {b"."}]
    lines += [Line(b">f+++++++++|rw-r--r--|0|0|%s|//%s" % (text, name)) for name, text in files.items()]
    lines.sort(key=entry.path_key)
    first = next(iter(files_of(lines)), None)
    for number in range(links if first else 0):
        assert first is not None
        attributes, name = entry.parse(first).attributes, entry.path_of(first)
        lines.insert((number + 1) * len(lines) // (links + 1), entry.linked_line(attributes, b"l/%d" % number, name))
    lines.insert(len(lines) // 2, Line(b"skipping something"))
    return [lines[start : start + 700] for start in range(0, len(lines), 700)]


def of_one_entry() -> bytes:
    writer = Writer(OLD, in_pieces=True)
    writer.add(with_number(since_prefix(1), Line(b"cd+++++++++|rwxr-xr-x|0|0|4096|2026/11/20-02:00:00|//./")))
    return writer.finish()


ONE = of_one_entry()


def manifest_of(blocks: list[list[Line]]) -> bytes:
    """In pieces, as the manifests of big trees are."""
    return compare(Reader(ONE), iter(blocks), OLD, marked=set()).manifest


def laid_out(manifest: bytes, older: bytes) -> tuple[bytes, list[_Run]]:
    new, old = Reader(manifest), Reader(older)
    return _laid_out(manifest, new, *_aligned(new.places, list(located(old.places, old.body))))


def read(manifest: bytes) -> list[Numbered]:
    return list(Reader(manifest))


trees = st.tuples(st.integers(0, 2**32), st.sampled_from([0, 1, 300, 3000]), st.sampled_from([0, 1, 40, 9000]))


@given(trees, st.sampled_from([0, 1, 5]))
def test_a_plan_by_pieces_is_a_plan_by_lines(shape: tuple[int, int, int], links: int) -> None:
    seed, files, changes = shape
    rng = random.Random(seed)
    before = tree(rng, files)
    after = listing(changed(rng, before, changes), links)
    old = Reader(manifest_of(listing(before, links // 2)))
    assert len(old.places) >= files // 512
    by_line = Lines([unnumbered(line) for line in read(manifest_of(listing(before, links // 2)))], OLD.sequence)
    one, other = (compare(manifest, iter(after), NEW, marked=set()) for manifest in (old, by_line))
    assert sorted(map(str, one.changes())) == sorted(map(str, other.changes()))
    assert read(one.manifest) == read(other.manifest)
    assert (one.totals, one.delete, one.links) == (other.totals, other.delete, other.links)
    assert one.sample or not files or changes > files / 9


@given(trees)
def test_what_is_laid_out_for_sharing_is_the_same_manifest(shape: tuple[int, int, int]) -> None:
    """Through several nights, so that gaps come to lie in what is shared."""
    seed, files, changes = shape
    rng = random.Random(seed)
    now = tree(rng, files)
    older = manifest_of(listing(now, 3))
    for _ in range(4):
        now = changed(rng, now, changes)
        plain = manifest_of(listing(now, 3))
        laid, runs = laid_out(plain, older)
        assert read(laid) == read(plain) and Reader(laid).totals == Reader(plain).totals
        assert [piece.lines for piece in Reader(laid).pieces()] == [piece.lines for piece in Reader(plain).pieces()]
        for run in runs:
            assert run.start % 4096 == run.source % 4096 == run.length % 4096 == 0 < run.length
            assert laid[run.start : run.start + run.length] == older[run.source : run.source + run.length]
        older = laid


def test_most_of_what_has_not_changed_is_shared() -> None:
    rng = random.Random(1)
    now = tree(rng, 30_000)
    older, newer = (manifest_of(listing(files, 3)) for files in (now, changed(rng, now, 10)))
    laid, runs = laid_out(newer, older)
    assert sum(run.length for run in runs) > 0.5 * len(laid)
    assert len(laid) < 1.15 * len(newer)


def test_an_unchanged_piece_is_not_read(tmp_path: Path) -> None:
    """As the file behind them shows: all of it but its beginning is overwritten."""
    blocks = listing(tree(random.Random(1), 9000), 0)
    path = tmp_path / "manifest"
    data = manifest_of(blocks)
    start = 1 << 15
    path.write_bytes(data[:start] + bytes(len(data) - start))
    with closing(Reader(path)) as old:
        plan = compare(old, iter([[line for line in block if is_entry(line)] for block in blocks]), NEW, marked=set())
    assert plan.is_empty and read(plan.manifest) == read(data)
    lines = [Line(line.replace(b"|rw-r--r--|", b"|rw-------|")) for block in blocks for line in block]
    with pytest.raises(DamagedManifest, match="is damaged"):
        compare(Reader(path), iter([lines]), NEW, marked=set())


@pytest.mark.parametrize("what", ["digest", "count", "length", "gap", "more", "less", "hex", "body"])
def test_an_index_that_does_not_fit_is_damage(what: str, tmp_path: Path) -> None:
    data = manifest_of(listing(tree(random.Random(1), 3000), 0))
    text = unpacked(data)
    lines = text.split(b"\n")
    place = next(number for number, line in enumerate(lines) if line[:1] == b"@")
    count, length, gap, crc, digest = lines[place][1:].split(b" ")
    match what:
        case "digest":
            digest = b"0" * 32
        case "count":
            count = b"%d" % (int(count) + 1)
        case "length":
            length = b"%d" % (int(length) - 1)
        case "gap":
            gap = b"8"
        case "hex":
            digest = b"x" * 32
        case "more":
            lines.insert(place, lines[place])
        case "less":
            del lines[place + 1]
        case "body":
            lines[0] = json.dumps({**json.loads(lines[0]), "body": 17}).encode()
    at = lines.index(b"@%s" % text.split(b"\n")[place][1:])
    lines[at] = b"@" + b" ".join([count, length, gap, crc, digest])
    packer = zstandard.ZstdCompressor(write_checksum=True)
    first = packer.compress(b"\n".join(line for line in lines if line[:1] in b"{#@") + b"\n")
    body = Reader(data).body
    path = tmp_path / "manifest"
    path.write_bytes(first + nothing(body - len(first)) + data[body:])
    with pytest.raises(DamagedManifest), closing(Reader(path)) as reader:
        for piece in reader.pieces():
            assert piece.lines


def test_version_1_is_read() -> None:
    lines = [line for block in listing(tree(random.Random(1), 900), 2) for line in block if is_entry(line)]
    lines.sort(key=lambda line: (is_link(line), entry.path_key(line)))
    first = {"format": "snapmirror manifest", "version": 1, "id": OLD.id, "sequence": 6,
             "entries": len(lines), "links": 2, "files": 902, "size": 1}  # fmt: skip
    packer = zstandard.ZstdCompressor(level=3, write_checksum=True)
    head = json.dumps(first).encode() + b"\n#%d 6\n" % len(lines)
    data = packer.compress(head) + packer.compress(b"\n".join([*lines, b""]))
    assert read(data) == [with_number(since_prefix(6), line) for line in lines]
    assert [line for piece in Reader(data).pieces() for line in piece.lines] == lines[:-2]
    plan = compare(Reader(data), iter(listing(tree(random.Random(1), 900), 2)), NEW, marked=set())
    assert plan.is_empty and read(plan.manifest) == read(data)


def test_a_long_text_without_an_end_is_cut() -> None:
    lines = [Line(b"line")] * 10_000
    assert [piece.count for piece in cut([lines[:9000], lines[9000:]])] == [1024] * 9 + [784]


@pytest.mark.parametrize("like", ["", "damaged", "whole"])
def test_a_manifest_is_stored_whatever_the_older_one_is(like: str, tmp_path: Path) -> None:
    """What file systems without reflinks do is not told apart here: `test_manifest_sharing.py` does."""
    rng = random.Random(1)
    now = tree(rng, 6000)
    older, path = tmp_path / "older", tmp_path / "newer"
    old = manifest_of(listing(now, 0))
    older.write_bytes({"": b"", "damaged": old[:100] + b"x" + old[101:], "whole": old}[like])
    new = manifest_of(listing(changed(rng, now, 1), 0))
    store(path, new, older if like else None)
    assert list(Reader(path)) == read(new)


def test_writing_in_pieces_or_line_by_line_is_the_same() -> None:
    lines = [line for block in listing(tree(random.Random(1), 5000), 0) for line in block if is_entry(line)]
    by_line, by_piece, both = (Writer(OLD, in_pieces=True) for _ in range(3))
    for line in lines:
        by_line.add(with_number(since_prefix(6), line))
    for number, piece in enumerate(cut([lines])):
        numbers = Reader(manifest_of([lines])).numbers[: piece.count]
        for writer, one in ((by_piece, piece), (both, piece if number % 2 else in_memory(piece.lines))):
            writer.put(one)
            writer.number(numbers)
    assert by_line.finish() == by_piece.finish() == both.finish()


def test_every_16th_night_and_full_ones_store_a_manifest_of_their_own(tmp_path: Path) -> None:
    layout = HardlinkLayout(tmp_path)
    like = FromNotes(layout).like

    def night(sequence: int, *, full: bool) -> Snapshot:
        identity = make_id(datetime(2026, 11, 20, tzinfo=UTC) + timedelta(days=sequence))
        return Snapshot(id=identity, sequence=sequence, slot=1, files=1, entries=1, bytes=1, new_bytes=1, full=full)

    newest = night(1, full=False)
    found = {number: like(newest, night(number, full=False)) for number in (2, 15, 16, 17, 32)}
    own = layout.manifest(newest.id)
    assert found == {2: own, 15: own, 16: None, 17: own, 32: None}
    assert like(newest, night(2, full=True)) is None
    assert like(None, night(2, full=False)) is None


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_reader_that_is_dropped_closes_its_file(tmp_path: Path, in_pieces: bool) -> None:
    """Every 16th night or so kept the store mounted (20): all manifests were open until Python looked for cycles."""
    writer = Writer(NEW, in_pieces=in_pieces)
    for number in range(1000):
        writer.add(
            with_number(since_prefix(7), Line(b">f+++++++++|rw-r--r--|0|0|1|2026/11/20-03:00:00|//%06d" % number))
        )
    manifest = tmp_path / "manifests" / f"{NEW.id}.zst"
    manifest.parent.mkdir()
    manifest.write_bytes(writer.finish())

    def is_open() -> bool:
        return any(os.path.realpath(one) == str(manifest) for one in Path("/proc/self/fd").iterdir())

    gc.collect()
    gc.disable()
    try:
        totals = Reader(manifest).totals
        assert not is_open()
        unused = drop_unused(tmp_path, manifest.parent)
        assert not is_open()
        first = next(iter(Reader(manifest)))
        assert not is_open()
        assert (totals.entries, unused, first[-6:]) == (1000, 0, b"000000")
    finally:
        gc.enable()
