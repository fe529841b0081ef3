"""The files of the newest snapshot that lose their names in a night: a name that is new may be one of them, moved.

A renamed folder or a rotated log comes in a listing as names that are gone, or hold something else, and as others that
are new. A file that was moved has kept its size, its time, its mode and its owner: these are what is looked up here.
What is found is a guess; the caller compares the contents.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from snapmirror.snapshots.entry import path_of, size_of
from snapmirror.snapshots.lines import Line, is_file, is_link, unnumbered
from snapmirror.snapshots.plan import Plan

_MOST = 200_000  # files, of 300 bytes each in memory; what is beyond is fetched
_MOST_ALIKE = 64  # files of the same attributes that are looked at for one name


class Freed:
    """The freed files of a plan, up to a number. A file of several names is one of them if none of these stays.
    If deletions are held back, there are none: the old names stay.
    """

    def __init__(self, plan: Plan, most: int = _MOST) -> None:
        self._paths: list[bytes] = []
        self._alike: dict[int, list[int]] = {}
        for line in _freed(plan):
            path = path_of(line)
            if path not in plan.bound:
                self._alike.setdefault(mark(line), []).append(len(self._paths))
                self._paths.append(path)
                if len(self._paths) == most:
                    break

    def __len__(self) -> int:
        return len(self._paths)

    def take(self, new: Line) -> bytes | None:
        """The path of the freed file that is most likely the one of this line; it is never given again."""
        alike = self._alike.get(mark(new))
        if not alike or not is_file(new) or is_link(new):
            return None
        path = path_of(new)
        best = max(alike[:_MOST_ALIKE], key=lambda place: common_end(self._paths[place], path))
        if self._paths[best] == path:  # the file was written again, or its attributes changed unseen
            return None
        alike.remove(best)
        return self._paths[best]


def _freed(plan: Plan) -> Iterator[Line]:
    """The old lines of files whose name is deleted, or gets another inode."""
    if plan.held_back:
        return
    for numbered in plan.delete:
        if is_file(line := unnumbered(numbered)) and size_of(line):
            yield line
    for before, _ in chain(plan.pairs(), (pair for pair, _ in plan.links)):
        if before is not None and is_file(line := unnumbered(before)) and size_of(line):
            yield line


def mark(line: Line) -> int:
    """A number for permissions, owner, group, size and time."""
    return hash(tuple(line.split(b"|", 6)[1:6]))


def common_end(one: bytes, other: bytes) -> int:
    """The number of bytes at the end that two paths have in common: `x/y` of `old/x/y` and `new/x/y`."""
    most = min(len(one), len(other))
    return next((count for count in range(most) if one[-1 - count] != other[-1 - count]), most)
