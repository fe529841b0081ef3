"""Tables of checksums: what must be done to one file to make it another, and what counts as a hole."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from snapmirror.storage.blocks import CHUNK_BYTES, Shape, differences, shape_of, sum_of, uncached

BLOCK = 64 << 10
KINDS = st.lists(st.sampled_from([None, 0, 1, 2]), min_size=1, max_size=90)  # a hole, zeros that are written, contents
SHORT = st.sampled_from([0, 4096, BLOCK - 4096])


def content_of(kinds: list[int | None], short: int) -> bytes:
    return b"".join(bytes([kind or 0]) * BLOCK for kind in kinds)[: len(kinds) * BLOCK - short]


def table_of(file: Path, kinds: list[int | None], short: int, shape: Shape) -> bytearray:
    content = content_of(kinds, short)
    with file.open("wb") as opened:
        for number, kind in enumerate(kinds):
            if kind is not None:
                opened.seek(number * BLOCK)
                opened.write(content[number * BLOCK : (number + 1) * BLOCK])
        opened.truncate(len(content))
        os.fsync(opened.fileno())
    with uncached(file, shape) as reader:
        assert reader.is_zero(0, shape.size) == (not content.strip(b"\0"))
        return reader.table(lambda _length: None)


@given(KINDS, KINDS, SHORT)
def test_what_differs_makes_one_of_the_other(have: list[int | None], want: list[int | None], short: int) -> None:
    have = (have + [None] * len(want))[: len(want)]
    shape = Shape(len(want) * BLOCK - short, BLOCK)
    with TemporaryDirectory(dir="/var/tmp") as folder:  # on a disk: a file in memory has no direct I/O
        before, after = (table_of(Path(folder, "file"), kinds, short, shape) for kinds in (have, want))
    made, wanted = bytearray(content_of(have, short)), content_of(want, short)
    end = 0
    for run in differences(before, after, shape):
        start, length = shape.span(run)
        assert start >= end, "in order, each block once"
        end = start + length
        assert run.hole or length <= CHUNK_BYTES
        made[start:end] = bytes(length) if run.hole else wanted[start:end]
        assert made[start:end] == wanted[start:end], "a hole is one only where zeros belong"
        assert any(wanted[start:end]) != run.hole
    assert made == wanted


def test_tables_stay_small() -> None:
    assert shape_of(150 << 30).block == BLOCK
    for size in (1 << 40, 16 << 40):
        assert shape_of(size).blocks * len(sum_of(b"")) <= 64 << 20
