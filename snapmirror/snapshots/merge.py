"""Comparing two trees that are texts in the same order, one pass, little in memory.

Runs of equal lines are compared block by block; only where the texts part are names looked at.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from snapmirror.snapshots.entry import parse, path_key
from snapmirror.snapshots.manifest import PREFIX, since_prefix

_LEAST, _MOST = 16, 8192


class OutOfOrder(Exception):  # noqa: N818
    """The second text is not in order: its reader must sort it first."""


Pair = tuple[bytes | None, bytes | None]
"""Old line (numbered) and new line of one name; None where it is absent."""


class Text(Protocol):
    """A tree as lines: a manifest, or lines in memory."""

    @property
    def numbers(self) -> array[int]:
        """The number of each entry."""

    def plain(self) -> Iterator[list[bytes]]:
        """The plain entries, in blocks."""


class _Cursor:
    """A place in a stream of blocks."""

    def __init__(self, blocks: Iterator[list[bytes]]) -> None:
        self._blocks = blocks
        self.block: list[bytes] = []
        self.at = 0
        self.place = 0  # in the whole text

    def more(self) -> bool:
        """Whether there is a line here."""
        while self.at >= len(self.block):
            block = next(self._blocks, None)
            if block is None:
                return False
            self.block, self.at = block, 0
        return True

    def step(self, count: int = 1) -> None:
        self.at += count
        self.place += count

    @property
    def line(self) -> bytes:
        return self.block[self.at]


Same = Callable[[list[bytes], int], None]
"""Called with lines that stand in both texts, and the place of the first in the old one."""


def differences(
    old: Text,
    new: Iterator[list[bytes]],
    same: Same | None = None,
    *,
    aside: Callable[[bytes], bool] | None = None,
    numbers: array[int] | None = None,
) -> Iterator[Pair]:
    """Each name whose line differs between `old` and the blocks of `new`.

    `aside` sees each line of `new` that has no equal in its place, and may take it out of the comparison. With
    `numbers`, those of the new lines, they count as well, and new lines are yielded numbered, as old ones always are.
    Raises OutOfOrder.
    """
    left, right = _Cursor(old.plain()), _Cursor(new)
    window = _MOST
    order = _Order()
    while right.more():
        if left.more():
            width = min(window, len(left.block) - left.at, len(right.block) - right.at)
            ours, theirs = left.block[left.at : left.at + width], right.block[right.at : right.at + width]
            equal = _equal(ours, theirs)
            if numbers is not None:
                equal = min(equal, _equal(old.numbers[left.place : left.place + width],
                                          numbers[right.place : right.place + width]))  # fmt: skip
            if equal:
                if same is not None:
                    same(ours if equal == width else ours[:equal], left.place)
                order.last, order.key = theirs[equal - 1], None
                left.step(equal)
                right.step(equal)
                window = min(window * 2, _MOST)
                continue
            window = _LEAST
        line = right.line
        if aside is not None and aside(line):
            right.step()
            continue
        key = path_key(line)
        if left.more():
            old_key = path_key(left.line)
            if old_key <= key:
                before = since_prefix(old.numbers[left.place]) + left.line
                left.step()
                if old_key < key:
                    yield before, None
                    continue
                order.check(line, key)
                yield before, _numbered(line, numbers, right.place)
                right.step()
                continue
        order.check(line, key)
        yield None, _numbered(line, numbers, right.place)
        right.step()
    while left.more():
        yield since_prefix(old.numbers[left.place]) + left.line, None
        left.step()


class _Order:
    """Sees that the new text is in order."""

    def __init__(self) -> None:
        self.last = b""
        self.key: bytes | None = None

    def check(self, line: bytes, key: bytes) -> None:
        if self.last and (self.key if self.key is not None else path_key(self.last)) >= key:
            raise OutOfOrder
        self.last, self.key = line, key


def _equal(ours: Sequence[object], theirs: Sequence[object]) -> int:
    """How many of the first lines are the same."""
    if ours == theirs:
        return len(ours)
    for count, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one != other:
            return count
    return len(ours)


def _numbered(line: bytes, numbers: array[int] | None, place: int) -> bytes:
    return line if numbers is None else since_prefix(numbers[place]) + line


def link_differences(old_links: Sequence[bytes], new_links: Sequence[bytes]) -> Iterator[Pair]:
    """The same for the numbered lines of further names, which stand in lists of their own."""
    if old_links == new_links:
        return
    old = {parse(line[PREFIX:]).path: line for line in old_links}
    new = {parse(line[PREFIX:]).path: line for line in new_links}
    for path, line in old.items():
        if new.get(path) != line:
            yield line, new.get(path)
    for path, line in new.items():
        if path not in old:
            yield None, line
