"""Compares two trees that are texts in the same order, in one pass with little memory.

Equal pieces are detected by their digests, runs of equal lines are compared at once; names are compared only where the
texts differ.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, overload

from snapmirror.snapshots.entry import parse, path_key
from snapmirror.snapshots.lines import Line, Numbered, since_prefix, unnumbered, with_number
from snapmirror.snapshots.manifest import Piece, in_memory

_LEAST, _MOST = 16, 8192


class OutOfOrder(Exception):  # noqa: N818
    """The second text is not in order: its reader must sort it first."""


Pair = tuple[Numbered | None, Line | None]
"""Old line (numbered) and new line of one name; None where it is absent."""
BothNumbered = tuple[Numbered | None, Numbered | None]
"""The same, if the new line has its number as well."""


class Text(Protocol):
    """A tree as lines: a manifest, or lines in memory."""

    @property
    def numbers(self) -> array[int]:
        """The number of each entry."""

    def pieces(self) -> Iterator[Piece]:
        """The plain entries, in pieces."""


class _Cursor:
    """A place in a stream of pieces."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self.piece = Piece(0, b"", list)
        self.at = 0
        self.place = 0  # in the whole text

    def more(self) -> bool:
        """Whether there is a line here."""
        while self.at >= self.piece.count:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self.piece, self.at = piece, 0
        return True

    @property
    def left(self) -> int:
        """The number of lines left of the piece."""
        return self.piece.count - self.at

    def step(self, count: int = 1) -> None:
        self.at += count
        self.place += count

    @property
    def line(self) -> Line:
        return self.piece.lines[self.at]

    def lines(self, count: int) -> list[Line]:
        """The next lines of the piece."""
        return self.piece.lines[self.at : self.at + count]


Same = Callable[[Piece, int], None]
"""Called with lines that are in both texts, and the place of the first in the old one."""


@overload
def differences(old: Text, new: Iterator[Piece], same: Same | None = None) -> Iterator[Pair]: ...


@overload
def differences(old: Text, new: Iterator[Piece], *, numbers: array[int]) -> Iterator[BothNumbered]: ...


def differences(
    old: Text,
    new: Iterator[Piece],
    same: Same | None = None,
    *,
    numbers: array[int] | None = None,
) -> Iterator[Any]:
    """Each name whose line differs between `old` and the pieces of `new`.

    With `numbers`, those of the new lines, they count as well, and new lines are yielded numbered, as old ones always
    are. Raises OutOfOrder.
    """
    left, right = _Cursor(old.pieces()), _Cursor(new)
    window = _MOST
    order = _Order()
    while right.more():
        if left.more():
            if _is_same_piece(left, right, old.numbers, numbers):
                if same is not None:
                    same(right.piece, left.place)
                order.passed(right.piece)
                left.step(left.left)
                right.step(right.left)
                continue
            width = min(window, left.left, right.left)
            ours, theirs = left.lines(width), right.lines(width)
            equal = _equal(ours, theirs)
            if numbers is not None:
                equal = min(equal, _equal(old.numbers[left.place : left.place + width],
                                          numbers[right.place : right.place + width]))  # fmt: skip
            if equal:
                common = in_memory(theirs[:equal])
                if same is not None:
                    same(common, left.place)
                order.passed(common)
                left.step(equal)
                right.step(equal)
                window = min(window * 2, _MOST)
                continue
            window = _LEAST
        line = right.line
        key = path_key(line)
        if left.more():
            old_key = path_key(left.line)
            if old_key <= key:
                before = with_number(since_prefix(old.numbers[left.place]), left.line)
                left.step()
                if old_key < key:
                    yield before, None
                    continue
                order.check(key)
                yield before, _numbered(line, numbers, right.place)
                right.step()
                continue
        order.check(key)
        yield None, _numbered(line, numbers, right.place)
        right.step()
    while left.more():
        yield with_number(since_prefix(old.numbers[left.place]), left.line), None
        left.step()


def _is_same_piece(left: _Cursor, right: _Cursor, old: array[int], new: array[int] | None) -> bool:
    """Whether both are at the beginning of equal pieces."""
    count = right.piece.count
    return (
        left.at == right.at == 0
        and left.piece.digest == right.piece.digest != b""
        and (new is None or old[left.place : left.place + count] == new[right.place : right.place + count])
    )


class _Order:
    """Checks that the new text is in order."""

    def __init__(self) -> None:
        self._last: Piece | None = None
        self._key: bytes | None = None

    def passed(self, piece: Piece) -> None:
        """Note lines that the old text has, too."""
        self._last, self._key = piece, None

    def check(self, key: bytes) -> None:
        """Check the next line. Raises OutOfOrder."""
        if self._key is None and self._last is not None:
            self._key = path_key(self._last.lines[-1])
        if self._key is not None and self._key >= key:
            raise OutOfOrder
        self._key = key


def _equal(ours: Sequence[object], theirs: Sequence[object]) -> int:
    """The number of equal lines at the beginning."""
    if ours == theirs:
        return len(ours)
    for count, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one != other:
            return count
    return len(ours)


def _numbered(line: Line, numbers: array[int] | None, place: int) -> bytes:
    return line if numbers is None else with_number(since_prefix(numbers[place]), line)


def link_differences(old_links: Sequence[Numbered], new_links: Sequence[Numbered]) -> Iterator[BothNumbered]:
    """The same for the numbered lines of further names, which are in separate lists."""
    if old_links == new_links:
        return
    old = {parse(unnumbered(line)).path: line for line in old_links}
    new = {parse(unnumbered(line)).path: line for line in new_links}
    for path, line in old.items():
        if new.get(path) != line:
            yield line, new.get(path)
    for path, line in new.items():
        if path not in old:
            yield None, line
