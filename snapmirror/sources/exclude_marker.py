"""`exclude_marker`: folders that hold a file of a given name come empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snapmirror.snapshots.lines import Line, is_link, is_symlink
from snapmirror.snapshots.plan import checked
from snapmirror.sources.leaders import Leaders


def pruned(lines: Iterable[Line], marker: bytes) -> Iterator[Line]:
    """Leave out what lies in a folder that holds a file of the name `marker`; the folder itself stays, empty.

    A folder's files come before its folders, so a folder's lines wait until its files are known. A hard link whose
    leader is left out takes its place.
    """
    waiting: list[Line] = []
    folder = b"."
    pruned: list[bytes] = []
    leaders = Leaders()
    for line in lines:
        one = checked(line)
        if pruned and one.path.startswith(tuple(pruned) if is_link(line) else pruned[-1]):
            leaders.left_out(one)
            continue
        if one.leader is not None:
            yield leaders.follow(one) if one.leader.startswith(tuple(pruned)) else line
        elif one.is_directory:
            yield from waiting
            waiting, folder = [], one.path
            yield line
        elif one.path == (marker if folder == b"." else folder + b"/" + marker):
            for left in waiting:
                if is_symlink(left):
                    leaders.left_out(checked(left))
            waiting = []
            if folder == b".":
                return
            pruned.append(folder + b"/")
        else:
            waiting.append(line)
    yield from waiting
