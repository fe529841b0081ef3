"""What is common to those who read manifests and those who write them; and a tree's entries in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snapmirror.errors import DamageError
from snapmirror.snapshots import entry
from snapmirror.snapshots.manifest.pieces import Piece, Place, in_memory

FORMAT = "snapmirror manifest"
WHOLE, IN_PIECES = 1, 2
"""The versions of the format."""
PREFIX = 8
"""Bytes of a number before an entry: seven digits and a blank."""
LONGEST_LINE = 1 << 18
"""Of what is read back: name and target with 4095 bytes each, a byte in five letters, are 40 kB."""
MOST_WINDOW = 8 << 20
"""What zstd may hold to unpack; what is written needs half a megabyte."""


class DamagedManifest(DamageError):  # noqa: N818
    """A manifest is missing, cut, or not what it says; whoever can do without it does, and says so."""


@dataclass(frozen=True)
class Header:
    """What a manifest is of."""

    id: str
    sequence: int


@dataclass
class Totals:
    """What a manifest adds up to: entries, those of them that are further names of a group, files, their bytes."""

    entries: int = 0
    links: int = 0
    files: int = 0
    size: int = 0


def since_prefix(sequence: int) -> bytes:
    """The bytes that stand before an entry whose inode was new in this snapshot."""
    return b"%07d " % sequence


def taken_apart(numbered_line: bytes) -> tuple[int, entry.Entry]:
    """Number and entry. Raises BadLine."""
    try:
        number = int(numbered_line[: PREFIX - 1])
    except ValueError:
        raise entry.BadLine(f"not a number: {numbered_line[:PREFIX]!r}") from None
    return number, entry.parse(numbered_line[PREFIX:])


class Lines:
    """Entries in memory: what a manifest would hold, of a tree whose inodes are of unknown age."""

    def __init__(self, lines: Sequence[bytes], number: int) -> None:
        self._plain = [line for line in lines if line[:1] != b"h"]
        self.numbers = array("I", [number]) * len(lines)
        self.links = [since_prefix(number) + line for line in lines if line[:1] == b"h"]
        files = [int(line.split(b"|", 5)[4]) for line in self._plain if line[1:2] == b"f"]
        links = sum(line[1:2] == b"f" for line in lines if line[:1] == b"h")
        self.totals = Totals(len(lines), len(self.links), len(files) + links, sum(files))
        self.places: list[Place] = []

    def pieces(self) -> Iterator[Piece]:
        """The plain entries."""
        yield in_memory(self._plain)

    def reopened(self) -> Lines:
        """The same."""
        return self

    def close(self) -> None:
        """Nothing to let go of."""

    def symlinks(self) -> list[bytes]:
        """The plain lines of symlinks."""
        return [line for line in self._plain if line[1:2] == b"L"]


NOTHING = Lines([], 0)
"""The manifest of a tree that does not exist yet."""
