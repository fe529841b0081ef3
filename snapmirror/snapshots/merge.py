"""Comparing two trees that are texts in the same order, one pass, nothing in memory.

Runs of equal lines cost one comparison each; only where the texts part are names looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from snapmirror.snapshots.entry import parse, path_key
from snapmirror.snapshots.manifest import PREFIX


class OutOfOrder(Exception):  # noqa: N818
    """The second text is not in order: its reader must sort it first."""


Pair = tuple[bytes | None, bytes | None]
"""Old line (numbered) and new line of one name; None where it is absent."""


def differences(
    old: Iterator[bytes], new: Iterator[bytes], same: Callable[[bytes], None], *, numbered: bool = False
) -> Iterator[Pair]:
    """Each name whose line differs; `same` is called with each old line that stands in both.

    Lines of `old` are numbered (see `manifest`), those of `new` only if `numbered`: then the numbers count as well.
    Raises OutOfOrder.
    """
    skip = 0 if numbered else PREFIX
    new_prefix = PREFIX if numbered else 0
    previous = b""  # the new line before this one, for the check of its order
    old_line = next(old, None)
    for line in new:
        if old_line is not None and old_line[skip:] == line:
            same(old_line)
            old_line = next(old, None)
            previous = line
            continue
        key = path_key(line[new_prefix:])
        if previous and path_key(previous[new_prefix:]) >= key:
            raise OutOfOrder
        previous = line
        while old_line is not None and (old_key := path_key(old_line[PREFIX:])) <= key:
            if old_key < key:
                yield old_line, None
            elif old_line[skip:] == line:
                same(old_line)
            else:
                yield old_line, line
            old_line = next(old, None)
            if old_key == key:
                break
        else:
            yield None, line
    while old_line is not None:
        yield old_line, None
        old_line = next(old, None)


def link_differences(old_links: list[bytes], new_links: list[bytes]) -> Iterator[Pair]:
    """The same for the link lines of two manifests, all numbered, which come after the plain ones."""
    if old_links == new_links:
        return
    old = {parse(line[PREFIX:]).path: line for line in old_links}
    new = {parse(line[PREFIX:]).path: line for line in new_links}
    for path, line in old.items():
        if new.get(path) != line:
            yield line, new.get(path)
    for path, line in new.items():
        if path not in old:
            yield None, line
