"""`exclude_marker`: folders that hold a file of a given name come empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snapmirror.snapshots.entry import escape, plain_line
from snapmirror.snapshots.plan import checked


def pruned(lines: Iterable[bytes], marker: bytes) -> Iterator[bytes]:
    """Leave out what lies in a folder that holds a file of the name `marker`; the folder itself stays, empty.

    A folder's files come before its folders, so a folder's lines wait until its files are known. A hard link whose
    leader is left out takes its place.
    """
    waiting: list[bytes] = []
    folder = b"."
    pruned: list[bytes] = []
    leaders: dict[bytes, bytes] = {}
    for line in lines:
        one = checked(line)
        if pruned and one.path.startswith(tuple(pruned) if line[:1] == b"h" else pruned[-1]):
            continue
        if one.leader is not None:
            if one.leader.startswith(tuple(pruned)):
                if one.leader not in leaders:
                    leaders[one.leader] = one.path
                    yield plain_line(one.attributes, one.path)
                    continue
                line = line.replace(
                    b"| => " + escape(one.leader) + b"//", b"| => " + escape(leaders[one.leader]) + b"//"
                )
            yield line
        elif one.is_directory:
            yield from waiting
            waiting, folder = [], one.path
            yield line
        elif one.path == (marker if folder == b"." else folder + b"/" + marker):
            waiting = []
            if folder == b".":
                return
            pruned.append(folder + b"/")
        else:
            waiting.append(line)
    yield from waiting
