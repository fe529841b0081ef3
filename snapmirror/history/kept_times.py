"""The times that the disk of a restore can hold. rsync offers others each time."""

from __future__ import annotations

import os
from pathlib import Path

from snapmirror.snapshots import times
from snapmirror.snapshots.entry import Entry, join
from snapmirror.tools.rsync_output import ONLY_TIME

_SECOND = 1_000_000_000


class Disk(times.DiskTimes):
    """The disk of the target `place`, and of `folder`, which exists: the target itself, or one above it."""

    def __init__(self, place: Path, folder: Path) -> None:
        super().__init__(folder)
        self._place = os.fsencode(place)

    def holds(self, entry: Entry) -> bool:
        """Whether it can hold the time of an entry."""
        return times.is_usual(entry.time_text) or self.nearest(entry.mtime) == entry.mtime

    def has_nearest(self, code: bytes, entry: Entry) -> bool:
        """Whether, by rsync's item `code`, only the time differs there, and is the nearest that the disk can hold."""
        if code[2:11] != ONLY_TIME or times.is_usual(entry.time_text):
            return False
        nearest = self.nearest(entry.mtime)
        try:
            return nearest != entry.mtime and os.lstat(join(self._place, entry.path)).st_mtime_ns // _SECOND == nearest
        except OSError:
            return False
