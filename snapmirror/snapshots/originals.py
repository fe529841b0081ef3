"""The files of the newest snapshot of which new names may be copies: those that look the same, if they stay or not.

All of a manifest has to be read to find them, so that is only done in a night in which much is new. What is found is a
guess; the caller compares the contents.
"""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

from snapmirror.snapshots.entry import path_of, size_of
from snapmirror.snapshots.freed import common_end, mark
from snapmirror.snapshots.lines import Line, is_single_file
from snapmirror.snapshots.manifest import DamagedManifest, Reader
from snapmirror.snapshots.plan import Plan

_LEAST_BYTES = 1 << 16  # of a file
_WORTH_READING = 4 << 20  # bytes of such files
_MOST = 100_000  # files, of 300 bytes each in memory; what is beyond is fetched
_MOST_ALIKE = 16

log = logging.getLogger("snapmirror.moved")


class Originals:
    """What the new files of a plan may be copies of, by the manifest of the newest snapshot."""

    def __init__(self, plan: Plan, manifest: Path) -> None:
        self._alike: dict[int, list[bytes]] = {}
        size = 0
        for _, new in plan.transfer:
            if new is not None and is_single_file(new) and size_of(new) >= _LEAST_BYTES and len(self._alike) < _MOST:
                self._alike[mark(new)] = []
                size += size_of(new)
        if size < _WORTH_READING:
            self._alike = {}
        if self._alike:
            try:
                self._read(manifest)
            except DamagedManifest as damage:
                log.debug("%s", damage.message)

    def __len__(self) -> int:
        return len(self._alike)

    def _read(self, manifest: Path) -> None:
        with closing(Reader(manifest)) as reader:
            for piece in reader.pieces():
                for line in piece.lines:
                    alike = self._alike.get(mark(line)) if is_single_file(line) else None
                    if alike is not None and len(alike) < _MOST_ALIKE:
                        alike.append(path_of(line))

    def of(self, new: Line) -> bytes | None:
        """The path of the file that is most likely the original of this line."""
        path = path_of(new)
        alike = [one for one in self._alike.get(mark(new), ()) if one != path]
        return max(alike, key=lambda one: common_end(one, path), default=None)
