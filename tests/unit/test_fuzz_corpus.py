"""The corpus of the fuzzers again, and files that are made to fill the memory: each is an error with a sentence."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from snapmirror import process
from snapmirror.errors import DamageError
from snapmirror.snapshots import checksums
from snapmirror.snapshots.manifest import Reader
from snapmirror.snapshots.manifest.pieces import Place, nothing
from snapmirror.storage import sums
from snapmirror.storage.blocks import Shape
from tests.conftest import Figures
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import CORPUS, TARGETS, attempt

MORE = 300 << 20
"""Bytes of memory that reading a bomb may take."""


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus(target: str, figures: Figures) -> None:
    files = sorted((CORPUS / target).iterdir())
    assert files, "a target without a corpus: python -m tests.fuzz"
    for path in files:
        attempt(target, path.read_bytes())
    for seed in seeds(target):
        TARGETS[target](seed)  # what snapmirror writes is good
    figures.add(f"fuzz: {target}: {len(files)} files of the corpus, 0 crashes")


@contextmanager
def little_memory() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    now = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line)
    resource.setrlimit(resource.RLIMIT_DATA, (now * 1024 + MORE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def bomb(head: bytes, *, of: bytes = b"A", size: int = 4 << 30) -> bytes:
    """Four gigabytes of one letter, in some hundred kilobytes."""
    out = zstandard.ZstdCompressor(level=1).compressobj()
    piece = of * (1 << 22)
    return out.compress(head) + b"".join(out.compress(piece) for _ in range(size >> 22)) + out.flush()


HEAD = {"format": "snapmirror manifest", "version": 1, "id": "i", "sequence": 1, "links": 0, "files": 0, "size": 0}


def manifest_head(entries: int) -> bytes:
    return json.dumps({**HEAD, "entries": entries}).encode() + b"\n"


@pytest.mark.parametrize("what", ["a line", "numbers", "entries", "nested"])
def test_a_manifest_that_is_a_bomb(what: str) -> None:
    packed = zstandard.ZstdCompressor().compress
    data = {
        "a line": lambda: bomb(manifest_head(5)),
        "numbers": lambda: packed(manifest_head(10**12) + b"#%d 1\n" % 10**12),
        "entries": lambda: bomb(manifest_head(1) + b"#1 1\n", of=b"cd+++|\n", size=1 << 28),
        "nested": lambda: packed(b"[" * 100_000 + b"\n"),
    }[what]()
    with little_memory(), pytest.raises(DamageError):
        for _ in Reader(data):
            pass


@pytest.mark.parametrize("letter", [b"A", b"\n"])
def test_a_piece_of_a_manifest_that_is_a_bomb(letter: bytes) -> None:
    frame = zstandard.ZstdCompressor().compress(letter * (1 << 29))
    place = Place(1000, len(frame), 0, 0, bytes(16)).line
    first = json.dumps({**HEAD, "version": 2, "entries": 1000, "body": 4096}).encode() + b"\n#1000 1\n" + place
    packed = zstandard.ZstdCompressor().compress(first)
    with little_memory(), pytest.raises(DamageError):
        for piece in Reader(packed + nothing(4096 - len(packed)) + frame).pieces():
            assert piece.lines


@pytest.mark.parametrize("letter", [b"A", b"\n"])
def test_a_checksum_file_that_is_a_bomb(tmp_path: Path, letter: bytes) -> None:
    path = tmp_path / "1.zst"
    path.write_bytes(bomb(b"", of=letter, size=1 << 28))
    with little_memory(), pytest.raises(DamageError):
        list(checksums.read(path))


def test_sums_of_a_copy_that_are_a_bomb(tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"x")
    (tmp_path / "copy.sums").write_bytes(zstandard.ZstdCompressor().compress(bytes(1 << 30)))
    with little_memory():
        assert sums.load(tmp_path / "copy", "id", Shape(1, 4096)) is None


def test_complaints_are_cut() -> None:
    """stderr lies in a file that stays small, however much is complained; its end is told."""
    flood = "import os\nfor _ in range(4096): os.write(2, b'x' * 65535 + b'\\n')\nos.write(2, b'the end\\n')"
    with process.running(["python3", "-c", flood]) as child:
        child.wait()
        seen = child.trim_stderr()
        assert seen == 4096 * 65536 + 8
        assert child.trim_stderr() == seen
