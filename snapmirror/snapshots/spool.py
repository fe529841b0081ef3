"""A long list of pairs of lines in little memory: full blocks are kept compressed.

The first night's plan names everything; a million entries would take a quarter of a gigabyte as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import zstandard

from snapmirror.snapshots.merge import Pair

_BLOCK = 8192


class Spool:
    """Pairs in the order in which they were added. A line is never empty and holds no line break."""

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self._packed: list[bytes] = []
        self._last: list[Pair] = []
        self._count = 0
        self.extend(pairs)

    def append(self, pair: Pair) -> None:
        """Add one pair."""
        self._last.append(pair)
        self._count += 1
        if len(self._last) >= _BLOCK:
            text = b"\n".join(line or b"" for pair in self._last for line in pair)
            packed = zstandard.ZstdCompressor(level=1).compress(text)
            self._packed.append(bytes(memoryview(packed)))  # a copy: the original holds the room of the worst case
            self._last = []

    def extend(self, pairs: Iterable[Pair]) -> None:
        """Add several."""
        for pair in pairs:
            self.append(pair)

    def __iter__(self) -> Iterator[Pair]:
        for block in self._packed:
            lines = iter(zstandard.ZstdDecompressor().decompress(block).split(b"\n"))
            yield from ((old or None, new or None) for old, new in zip(lines, lines, strict=True))
        yield from self._last

    def __len__(self) -> int:
        return self._count
