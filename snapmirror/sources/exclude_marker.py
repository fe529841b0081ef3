"""`exclude_marker`: folders that hold a file of a given name are listed as empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snapmirror.snapshots.compare import checked
from snapmirror.snapshots.entry import Entry
from snapmirror.snapshots.lines import Line
from snapmirror.sources.leaders import Leaders


def pruned(lines: Iterable[Line], marker: bytes) -> Iterator[Line]:
    """Leave out the content of each folder that holds a file named `marker`; the folder itself stays, empty.

    A folder's files come before its folders, so a folder's lines are kept back until its files are known. So are
    further names of a file, which rsync lists right behind the first one, in whatever folder they are. If the first
    name is left out, a further name takes its place.
    """
    waiting: list[tuple[Entry, Line]] = []
    folder = b"."
    pruned: tuple[bytes, ...] = ()
    leaders = Leaders()

    def stays(one: Entry, line: Line) -> Line:
        return leaders.follow(one) if one.leader is not None and one.leader.startswith(pruned) else line

    for line in lines:
        one = checked(line)
        if pruned and one.path.startswith(pruned if one.leader is not None else pruned[-1]):
            leaders.left_out(one)
        elif one.is_directory:
            for other, left in waiting:
                yield stays(other, left)
            waiting, folder = [], one.path
            yield line
        elif one.path == (marker if folder == b"." else folder + b"/" + marker):
            if folder == b".":
                return
            pruned = (*pruned, folder + b"/")
            for other, left in waiting:
                if other.path.startswith(pruned):
                    leaders.left_out(other)
                else:
                    yield stays(other, left)
            waiting = []
        else:
            waiting.append((one, line))
    for other, left in waiting:
        yield stays(other, left)
