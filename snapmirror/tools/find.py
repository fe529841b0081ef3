"""find(1), which reads the folders of a tree before somebody else needs them. Program: find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from snapmirror import process


def folders_argv(tree: str) -> list[str]:
    """Read every folder of a tree on its file system, look at no file, print nothing.

    What may not be read is passed over: a complaint for each folder of a big tree would have to be kept somewhere.
    """
    readable = ["(", "-readable", "-executable", "-o", "-prune", ")"]
    return ["find", tree, "-xdev", "-type", "d", *readable, "-false"]


@contextmanager
def folders_read_ahead(tree: str) -> Iterator[None]:
    """The folders of a tree, not its files, are being brought into memory; that ends here, whether it is done or not.

    A help, not a duty: without find it does not happen, and how find ends is nobody's business. `tree` is an absolute
    path.
    """
    if process.find("find") is None:
        yield
        return
    with process.running(folders_argv(tree), capture=False):
        yield
