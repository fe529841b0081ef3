"""Definitions shared by readers and writers of manifests; and a tree's entries in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from msgspec import Struct

from snapmirror.errors import DamageError
from snapmirror.snapshots import entry
from snapmirror.snapshots.lines import (
    Line,
    Numbered,
    files_of,
    links_of,
    number_of,
    prefix_of,
    since_prefix,
    symlinks_of,
    unnumbered,
    with_number,
    without_links,
)
from snapmirror.snapshots.manifest.pieces import Piece, Place, in_memory

FORMAT = "snapmirror manifest"
WHOLE, IN_PIECES = 1, 2
"""The versions of the format."""
LONGEST_LINE = 1 << 18
"""The longest line that is read: name and target with 4095 bytes each, five letters a byte, are 40 kB."""
MOST_WINDOW = 8 << 20
"""The memory that zstd may use to unpack, in bytes; files written here need half a megabyte."""


class DamagedManifest(DamageError):  # noqa: N818
    """A manifest is missing, cut, or inconsistent; callers that can do without it do, and say so."""


class Header(Struct, frozen=True):
    """The snapshot that a manifest describes."""

    id: str
    sequence: int


class Totals(Struct):
    """The totals of a manifest: entries, those of them that are further names of a group, files, their bytes."""

    entries: int = 0
    links: int = 0
    files: int = 0
    size: int = 0


def taken_apart(numbered: Numbered) -> tuple[int, entry.Entry]:
    """Number and entry. Raises BadLine."""
    try:
        number = number_of(numbered)
    except ValueError:
        raise entry.BadLine(f"not a number: {prefix_of(numbered)!r}") from None
    return number, entry.parse(unnumbered(numbered))


class Lines:
    """Entries in memory: the content of a manifest, of a tree whose inodes are of unknown age."""

    def __init__(self, lines: Sequence[Line], number: int) -> None:
        self._plain = without_links(lines)
        self.numbers = array("I", [number]) * len(lines)
        self.links = [with_number(since_prefix(number), line) for line in links_of(lines)]
        sizes = list(map(entry.size_of, files_of(self._plain)))
        links = len(files_of(links_of(lines)))
        self.totals = Totals(len(lines), len(self.links), len(sizes) + links, sum(sizes))
        self.places: list[Place] = []

    def pieces(self) -> Iterator[Piece]:
        """The plain entries."""
        yield in_memory(self._plain)

    def reopened(self) -> Lines:
        """The same."""
        return self

    def close(self) -> None:
        """Nothing to close."""

    def symlinks(self) -> list[Line]:
        """The plain lines of symlinks."""
        return symlinks_of(self._plain)


NOTHING = Lines([], 0)
"""The manifest of a tree that does not exist yet."""
