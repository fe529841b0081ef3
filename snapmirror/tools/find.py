"""find(1), which reads the folders of a tree into memory before they are needed. Program: find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from snapmirror import process


def folders_argv(tree: str) -> list[str]:
    """Read every folder of a tree on its file system, read no file, print nothing.

    Unreadable folders are skipped: a message for each folder of a large tree would have to be kept somewhere.
    """
    readable = ["(", "-readable", "-executable", "-o", "-prune", ")"]
    return ["find", tree, "-xdev", "-type", "d", *readable, "-false"]


@contextmanager
def folders_read_ahead(tree: str) -> Iterator[None]:
    """Read the folders of a tree, not its files, into memory during the block; stop at its end, done or not.

    This only saves time: without find it does not happen, and find's exit code is ignored. `tree` is an absolute path.
    """
    if process.find("find") is None:
        yield
        return
    with process.running(folders_argv(tree), capture=False):
        yield
