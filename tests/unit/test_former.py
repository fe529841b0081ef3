"""Former generations of a copy, on real small files: each step back leads to exactly what was there before."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from snapmirror.storage import blocks, former, update
from snapmirror.storage.blocks import Shape

BLOCK, COUNT = 4096, 6
SHAPE = Shape(BLOCK * COUNT - 100, BLOCK)
Content = list[int]  # a value for each block; 0 is a hole
contents = st.lists(st.integers(0, 3), min_size=COUNT, max_size=COUNT)


def put(file: Path, content: Content) -> None:
    with file.open("wb") as opened:
        for number, value in enumerate(content):
            opened.seek(number * BLOCK)
            if value:
                opened.write(bytes([value]) * BLOCK)
        opened.truncate(SHAPE.size)


def table(file: Path) -> bytearray:
    with blocks.uncached(file, SHAPE) as reader:
        return reader.table(lambda _: None)


def step(copy: Path, source: Path, known: bytearray | None, most: int) -> None:
    """The copy becomes the source, as `copier` has it; what it was is kept."""
    have, want = table(copy), table(source)
    former.tidy(copy, have, most)
    if runs := blocks.differences(have, want, SHAPE):
        made = former.target(have, want, known)
        back = blocks.differences(want, made, SHAPE)
        with blocks.uncached(copy, SHAPE) as reader:
            assert former.write(copy, reader, "id", SHAPE, back, want, made, lambda _: None)
        with blocks.uncached(source, SHAPE) as reader:
            update.write(copy, reader, "id", SHAPE, runs, want, lambda _: None)
        update.apply(copy, copy, update.load(copy), lambda _: None)
        update.discard(copy)
    former.tidy(copy, want, most)


@settings(deadline=None, max_examples=60)
@given(st.lists(contents, min_size=2, max_size=5), st.integers(1, 3))
def test_each_step_back_leads_to_what_was_there(generations: list[Content], most: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="trust-former-"))
    try:
        copy, source = folder / "copy", folder / "source"
        put(copy, generations[0])
        seen = [table(copy)]
        for content in generations[1:]:
            put(source, content)
            step(copy, source, None, most)
            assert table(copy) == table(source)
            if table(copy) != seen[0]:
                seen.insert(0, table(copy))
        stems = former.stems(copy)
        assert len(stems) == min(most, len(seen) - 1)
        for stem, before in zip(stems, seen[1:], strict=False):
            update.apply(stem, copy, update.load(stem), lambda _: None)
            assert table(copy) == before
    finally:
        shutil.rmtree(folder)


@settings(deadline=None, max_examples=60)
@given(contents, contents, st.integers(0, COUNT))
def test_a_mixture_becomes_the_old_copy_too(old: Content, new: Content, done: int) -> None:
    """Killed while the update was applied: some blocks are new already."""
    folder = Path(tempfile.mkdtemp(prefix="trust-former-"))
    try:
        copy, source = folder / "copy", folder / "source"
        put(copy, old)
        before = table(copy)
        put(source, new)
        step(copy, source, None, 1)
        put(copy, [*new[:done], *old[done:]])
        for stem in former.stems(copy):
            update.apply(stem, copy, update.load(stem), lambda _: None)
        assert table(copy) == before
    finally:
        shutil.rmtree(folder)


@settings(deadline=None)
@given(contents, contents, st.lists(st.integers(0, COUNT - 1), max_size=3))
def test_damage_that_the_update_mends_is_not_kept(old: Content, new: Content, damaged: list[int]) -> None:
    def sums(content: Content) -> bytearray:
        return bytearray(b"".join(bytes([value]) * blocks.SUM_BYTES for value in content))

    found = [4 if number in damaged else value for number, value in enumerate(old)]
    made = former.target(sums(found), sums(new), sums(old))
    for number in range(COUNT):
        block = slice(number * blocks.SUM_BYTES, (number + 1) * blocks.SUM_BYTES)
        mended = number in damaged and old[number] == new[number]
        assert made[block] == sums(new if mended else found)[block]
