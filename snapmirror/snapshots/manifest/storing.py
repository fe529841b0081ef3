"""Stores a manifest without writing again what it has in common with the one before it.

The file system can share blocks between two files (reflinks, of XFS). A gap before a run of pieces that are in both
files moves it to the same offset in its first block; the blocks that are completely in the run are shared. Everything
else is written from memory: of the older file only the index is read.
"""

from __future__ import annotations

import fcntl
import logging
import struct
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from snapmirror import files
from snapmirror.snapshots.manifest import pieces
from snapmirror.snapshots.manifest.pieces import BLOCK, Place
from snapmirror.snapshots.manifest.reader import Reader
from snapmirror.snapshots.manifest.text import DamagedManifest
from snapmirror.snapshots.manifest.writer import head

log = logging.getLogger("snapmirror.manifest")
_FICLONERANGE = 0x4020940D  # linux/fs.h, with a struct file_clone_range
_LEAST_RUN = 4 * BLOCK  # each run costs a request whenever the file is read


class _Run(Struct, frozen=True):
    """Bytes that two files have in common: their offset in the new one and in the older one, and their number."""

    start: int
    source: int
    length: int

    @property
    def blocks(self) -> _Run:
        """The part of it that can be shared."""
        start = -(-self.start // BLOCK) * BLOCK
        end = (self.start + self.length) // BLOCK * BLOCK
        return _Run(start, self.source + start - self.start, end - start)

    def moved(self, by: int) -> _Run:
        """The same run, later in the new file."""
        return replace(self, start=self.start + by)


def store(path: Path, manifest: bytes, like: Path | None) -> None:
    """Write a manifest. Share what is also in the file `like`, if that is half of it or more."""
    if like is None or not _shared(path, manifest, like):
        files.write(path, manifest)


def _shared(path: Path, manifest: bytes, like: Path) -> bool:
    """Write it with blocks of `like`; False if that was not done."""
    try:
        with closing(Reader(manifest)) as new:
            if not new.places:
                return False
        with closing(Reader(like)) as older:
            places, runs = _aligned(new.places, list(pieces.located(older.places, older.body)))
            if 2 * sum(run.blocks.length for run in runs) < len(manifest):
                return False
            laid, runs = _laid_out(manifest, new, places, runs)
    except DamagedManifest as damage:
        log.debug("%s; the new one shares nothing with it", damage.message)
        return False
    try:
        with files.anew(path) as file, files.reading(like) as source:
            done = 0
            for run in [*runs, _Run(len(laid), 0, 0)]:
                file.seek(done)
                file.write(laid[done : run.start])
                done = run.start + run.length
                if run.length:
                    what = struct.pack("=qQQQ", source.fileno(), run.source, run.length, run.start)
                    fcntl.ioctl(file, _FICLONERANGE, what)
    except OSError as error:  # whatever the reason: all its bytes are in memory
        log.debug("blocks cannot be shared: %s", error)
        return False
    return True


def _laid_out(manifest: bytes, new: Reader, places: Sequence[Place], runs: Sequence[_Run]) -> tuple[bytes, list[_Run]]:
    """The manifest with other gaps, and its blocks that are also in the older one."""
    first = head(new.header, new.totals, new.numbers, places)
    parts: list[bytes | memoryview] = [first]
    everything = memoryview(manifest)
    for place, (at, old) in zip(places, pieces.located(new.places, new.body), strict=True):
        parts += (pieces.nothing(place.gap), everything[at : at + old.length])
    return b"".join(parts), [run.moved(len(first)).blocks for run in runs]


def _aligned(new: Sequence[Place], older: Sequence[tuple[int, Place]]) -> tuple[list[Place], list[_Run]]:
    """The new places with their gaps, and the runs of them that are in the older file, as if at its very beginning."""
    ours, theirs = list(map(_content, new)), [_content(place) for _, place in older]
    known = {content: number for number, content in enumerate(theirs)}
    places: list[Place] = []
    runs: list[_Run] = []
    at = 0
    while len(places) < len(ours):
        first = known.get(ours[len(places)], len(older))
        end = first + _in_common(ours, len(places), theirs, first)
        length = older[end - 1][0] + theirs[end - 1].length - older[first][0] if end > first else 0
        if length >= _LEAST_RUN:
            source, place = older[first]
            gap = pieces.gap_to(at, source)
            places += (replace(place, gap=gap), *(place for _, place in older[first + 1 : end]))
            runs.append(_Run(at + gap, source, length))
            at += gap + length
        else:
            places.append(ours[len(places)])
            at += places[-1].length
    return places, runs


def _content(place: Place) -> Place:
    return replace(place, gap=0)


def _in_common(ours: Sequence[Place], here: int, theirs: Sequence[Place], there: int) -> int:
    """The number of equal places, from `here` and `there` on."""
    most = min(len(ours) - here, len(theirs) - there)
    return next((count for count in range(most) if ours[here + count] != theirs[there + count]), most)
