"""A line and a numbered line: the two text forms of entries, and the few functions that read them.

    >f+++++++++|rw-r--r--|0|0|5120|2026/11/20-03:00:00|//etc/fstab             Line: an entry, see `entry`
    0000012 >f+++++++++|rw-r--r--|0|0|5120|2026/11/20-03:00:00|//etc/fstab     Numbered: the same, behind its number

The number is that of the snapshot in which the entry's inode was new. Both are bytes, and equal entries are equal
bytes: a manifest and a listing are compared as they are. They are two types, so that mypy distinguishes them; only this
module and `entry` know the position of each field. Functions that are needed for every entry of a tree take many lines
at once, and a mere slice or sum is one call into C: a Python call for each line would cost more than the work itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Set
from typing import NewType, cast

Line = NewType("Line", bytes)
Numbered = NewType("Numbered", bytes)
Number = NewType("Number", bytes)
"""The number of a numbered line with the blank after it."""

_NUMBER = 8  # bytes: seven digits and a blank
_ITEM = 11  # bytes of rsync's item, which begins a line; a bar follows
_KINDS = (b"f", b"d", b"L", b"D", b"S")


def as_lines(texts: list[bytes]) -> list[Line]:
    """Bytes read from a manifest, or from rsync, as lines; rsync's messages may be among them (see `is_entry`)."""
    return cast("list[Line]", texts)


# --- a line


def is_entry(line: Line) -> bool:
    """Whether it is an entry, and not a message of rsync nor a name to be deleted."""
    return line[_ITEM : _ITEM + 1] == b"|" and line[:1] != b"*"


kind_of: Callable[[Line], bytes] = operator.itemgetter(slice(1, 2))
"""The type: f file, d directory, L symlink, D device, S fifo or socket."""


def is_file(line: Line) -> bool:
    """Whether it is that of a file."""
    return line[1:2] == b"f"


def is_directory(line: Line) -> bool:
    """Whether it is that of a directory."""
    return line[1:2] == b"d"


def is_symlink(line: Line) -> bool:
    """Whether it is that of a symlink."""
    return line[1:2] == b"L"


def is_link(line: Line) -> bool:
    """Whether it is that of a further name of a hard link group, and not of the name that leads it."""
    return line[:1] == b"h"


def is_single_file(line: Line) -> bool:
    """Whether it is that of a file, and not of a further name of one."""
    return line[:2] == b">f"


def time_of(line: Line) -> bytes:
    """The modification time, in the form of lines."""
    return line.split(b"|", 6)[5]


def name_of(line: Line | Numbered) -> bytes:
    """The name as it is written: escaped, with a slash at the end of a directory's."""
    return line.rpartition(b"//")[2]


# --- many lines


def files_of(lines: Iterable[Line]) -> list[Line]:
    """The lines of files."""
    return [line for line in lines if line[1:2] == b"f"]


def ending(lines: Iterable[Line], ends: tuple[bytes, ...]) -> list[Line]:
    """The lines whose name ends so."""
    return [line for line in lines if line.endswith(ends)]


def symlinks_of(lines: Iterable[Line]) -> list[Line]:
    """The lines of symlinks."""
    return [line for line in lines if line[1:2] == b"L"]


def without_links(lines: Iterable[Line]) -> list[Line]:
    """All lines except those of further names of hard link groups."""
    return [line for line in lines if line[:1] != b"h"]


def links_of(lines: Iterable[Line]) -> list[Line]:
    """Those of further names of hard link groups."""
    return [line for line in lines if line[:1] == b"h"]


def items_of(lines: Iterable[Line]) -> set[bytes]:
    """The different items with which they begin: few in a tree of any size."""
    return {line[: _ITEM + 1] for line in lines}


def usual_items(left_out: Set[bytes]) -> Set[bytes]:
    """The items of new entries that are not further names of hard link groups, except kinds that are `left_out`."""
    return {b"%b%b+++++++++|" % (b">" if kind == b"f" else b"c", kind) for kind in _KINDS if kind not in left_out}


# --- a numbered line


since_prefix = cast("Callable[[int], Number]", b"%07d ".__mod__)
"""The prefix of an entry whose inode was new in the snapshot of this number."""
with_number: Callable[[Number, Line], Numbered] = operator.add
"""The line after a number."""


def all_numbered(numbers: Iterable[int], lines: Iterable[Line]) -> Iterator[Numbered]:
    """Each line after the number at its place."""
    return cast("Iterator[Numbered]", map(operator.add, map(since_prefix, numbers), lines))


def holding(lines: Iterable[Numbered], text: bytes) -> Iterator[Numbered]:
    """The lines that contain this text."""
    return (line for line in lines if text in cast("bytes", line))


unnumbered: Callable[[Numbered], Line] = operator.itemgetter(slice(_NUMBER, None))
"""The line without its number."""
prefix_of: Callable[[Numbered], Number] = operator.itemgetter(slice(_NUMBER))
"""Its number, in the form in which it is written."""


def number_of(numbered: Numbered) -> int:
    """Its number. Raises ValueError."""
    return int(numbered[: _NUMBER - 1])


def holds_file(numbered: Numbered) -> bool:
    """Whether it is that of a file."""
    return numbered[_NUMBER + 1 : _NUMBER + 2] == b"f"


def holds_directory(numbered: Numbered) -> bool:
    """Whether it is that of a directory."""
    return numbered[_NUMBER + 1 : _NUMBER + 2] == b"d"


def holds_symlink(numbered: Numbered) -> bool:
    """Whether it is that of a symlink."""
    return numbered[_NUMBER + 1 : _NUMBER + 2] == b"L"


def holds_link(numbered: Numbered) -> bool:
    """Whether it is that of a further name of a hard link group."""
    return numbered[_NUMBER : _NUMBER + 1] == b"h"
