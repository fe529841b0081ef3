"""How the text of one file differs between two snapshots, as `diff --unified` shows it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator

from snapmirror.errors import UsageError
from snapmirror.history.histories import Found
from snapmirror.snapshots.names import Tree

_MOST = 4 << 20  # bytes of each version: comparing takes memory, and time quadratic in the difference
_LINES = 3


def text_difference(old: Found, new: Found, path: bytes) -> list[str] | None:
    """The differing lines, with context; None if the name is not a file in either snapshot.

    Raises UsageError if neither snapshot holds it.
    """
    before, after = _content(old, path), _content(new, path)
    if before is None and after is None:
        if any(Tree(one.tree).inode(path) is not None for one in (old, new)):
            return None
        raise UsageError(
            f"neither snapshot holds {os.fsdecode(path)!r}", hint="'snapmirror find' searches all snapshots"
        )
    if before == after:
        return []
    sizes = [len(one) for one in (before, after) if one is not None]
    if max(sizes) > _MOST or any(b"\0" in one for one in (before, after) if one is not None):
        return [f"{os.fsdecode(path)}: differs, and is not text, or too long to compare line by line"]
    return list(_unified(old, new, path, _lines(before), _lines(after)))


def _unified(old: Found, new: Found, path: bytes, before: list[str], after: list[str]) -> Iterator[str]:
    name = os.fsdecode(path)
    return difflib.unified_diff(
        before, after, f"{old.snapshot.id}/{name}", f"{new.snapshot.id}/{name}", n=_LINES, lineterm=""
    )


def _lines(content: bytes | None) -> list[str]:
    lines = [] if content is None else content.decode("utf-8", "surrogateescape").split("\n")
    return lines[:-1] if lines[-1:] == [""] else lines


def _content(found: Found, path: bytes) -> bytes | None:
    """The beginning of a file, one byte more than is compared; None if it is not a file there."""
    tree = Tree(found.tree)
    if not tree.is_file(path):
        return None
    with open(os.open(tree.at(path), os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read(_MOST + 1)
