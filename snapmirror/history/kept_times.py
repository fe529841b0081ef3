"""The times that the disk of a restore can hold: ext4 with small inodes ends in 2038. rsync offers others each time."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from snapmirror.snapshots import times
from snapmirror.snapshots.entry import Entry, join

_SECOND = 1_000_000_000
_ONLY_TIME = b"..t......"


class Disk:
    """The disk of the target `place`, and of `folder`, which exists: the target itself, or one above it.

    Where no file without a name can be made on it, it is taken to hold all times.
    """

    def __init__(self, place: Path, folder: Path) -> None:
        self._place, self._folder = os.fsencode(place), folder

    def holds(self, entry: Entry) -> bool:
        """Whether it can hold the time of an entry."""
        return times.is_usual(entry.time_text) or self._nearest(entry.mtime) == entry.mtime

    def has_nearest(self, code: bytes, entry: Entry) -> bool:
        """Whether, by rsync's item `code`, only the time differs there, and is the nearest that the disk can hold."""
        if code[2:11] != _ONLY_TIME or times.is_usual(entry.time_text):
            return False
        nearest = self._nearest(entry.mtime)
        try:
            return nearest != entry.mtime and os.lstat(join(self._place, entry.path)).st_mtime_ns // _SECOND == nearest
        except OSError:
            return False

    def _nearest(self, seconds: int) -> int:
        """The time that a file gets that is given this one."""
        if self._file is None:
            return seconds
        os.utime(self._file, ns=(0, seconds * _SECOND))
        return os.fstat(self._file).st_mtime_ns // _SECOND

    @cached_property
    def _file(self) -> int | None:
        try:
            return os.open(self._folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError:
            return None

    def close(self) -> None:
        """Close what was opened."""
        if (file := self.__dict__.pop("_file", None)) is not None:
            os.close(file)
