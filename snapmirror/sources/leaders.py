"""Hard link groups whose first name a listing leaves out: the next name takes its place."""

from __future__ import annotations

from snapmirror.snapshots.entry import Entry, escape, linked_line, plain_line
from snapmirror.snapshots.lines import Line


class Leaders:
    """The first names that one listing leaves out, and the names that replace them."""

    def __init__(self) -> None:
        self._targets: dict[bytes, bytes] = {}  # targets of left-out symlinks: a further name's line has none
        self._instead: dict[bytes, bytes] = {}

    def left_out(self, one: Entry) -> None:
        """An entry that the listing leaves out."""
        if one.target is not None:
            self._targets[one.path] = one.target

    def follow(self, one: Entry) -> Line:
        """The line of a further name whose first name is left out."""
        assert one.leader is not None
        leader = self._instead.setdefault(one.leader, one.path)
        if leader != one.path:
            return linked_line(one.attributes, one.path, leader)
        target = self._targets.get(one.leader)
        return plain_line(one.attributes, one.path, b" -> " + escape(target) if target is not None else b"")
