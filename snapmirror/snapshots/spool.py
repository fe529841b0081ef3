"""A long list of pairs of lines in little memory: full blocks are kept compressed.

The first night's plan names everything; a million entries would take a quarter of a gigabyte uncompressed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar, cast

import zstandard

First = TypeVar("First", bound=bytes)
Second = TypeVar("Second", bound=bytes)
_BLOCK = 8192


class Spool(Generic[First, Second]):
    """Pairs in the order in which they were added. A line is never empty and holds no line break."""

    def __init__(self, pairs: Iterable[tuple[First | None, Second | None]] = ()) -> None:
        self._packed: list[bytes] = []
        self._last: list[tuple[First | None, Second | None]] = []
        self._count = 0
        self.extend(pairs)

    def append(self, pair: tuple[First | None, Second | None]) -> None:
        """Add one pair."""
        self._last.append(pair)
        self._count += 1
        if len(self._last) >= _BLOCK:
            text = b"\n".join(line or b"" for pair in self._last for line in pair)
            packed = zstandard.ZstdCompressor(level=1).compress(text)
            self._packed.append(bytes(memoryview(packed)))  # a copy: the original occupies the memory of the worst case
            self._last = []

    def extend(self, pairs: Iterable[tuple[First | None, Second | None]]) -> None:
        """Add several."""
        for pair in pairs:
            self.append(pair)

    def __iter__(self) -> Iterator[tuple[First | None, Second | None]]:
        for block in self._packed:
            texts = iter(zstandard.ZstdDecompressor().decompress(block).split(b"\n"))
            pairs = ((first or None, second or None) for first, second in zip(texts, texts, strict=True))
            yield from cast("Iterator[tuple[First | None, Second | None]]", pairs)
        yield from self._last

    def __len__(self) -> int:
        return self._count
