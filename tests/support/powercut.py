"""Power cuts: every write and flush to an image is recorded, and the disk is rebuilt as any cut would have left it.

Programs: qemu-storage-daemon, whose driver `blklogwrites` keeps the log (dm-log-writes, version 1: a sector with magic,
version, entries and sector size; then for each entry a header sector with sector, sectors, flags and, unless it is a
discard, its data).

What a cut may leave, by what a disk promises: everything that was written before the last finished flush, and of what
came after it anything: all of it up to some write, that last one torn between two of the disk's own sectors, or any
selection, because a disk is free to reorder. The order of the log is taken for the order in which the writes were
handed over. Disks have sectors of 4096 bytes nowadays, whatever they show; one that tears such a block in two can leave
an XFS whose log cannot be replayed (it believes the half that arrived), which is a limit of XFS.
"""

from __future__ import annotations

import mmap
import os
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from snapmirror.storage.image import punch
from tests.support.blockdev import exported
from tests.support.storage import copy_image

_MAGIC = 0x6A736677736872
_FLUSH, _FUA, _DISCARD = 1, 2, 4
SECTOR = 512
_WHOLE = 4096  # bytes that a disk writes whole or not at all


@dataclass(frozen=True)
class Write:
    """One write or discard. Bytes; `data_at` is a place in the log, None for a discard."""

    start: int
    length: int
    data_at: int | None


@dataclass(frozen=True)
class Cut:
    """A moment at which the power goes: after `flushes` flushes, with these of the writes since, in this order.

    `torn` bytes of the last one have arrived. `log_end` is the log's length at that moment.
    """

    flushes: int
    writes: tuple[int, ...]
    torn: int | None
    kind: str
    log_end: int


@contextmanager
def recorded(before: Path, log: Path, shown: Path) -> Iterator[None]:
    """A copy of `before` is there as the file `shown`, until the end; what is written to it goes into `log`, too.

    Not for direct I/O (FACTS).
    """
    disk = before.with_name("work.img")
    copy_image(before, disk)
    log.touch()
    nodes: list[dict[str, object]] = [
        {"driver": "file", "node-name": "disk", "filename": str(disk), "discard": "unmap"},
        {"driver": "file", "node-name": "log", "filename": str(log)},
        {"driver": "blklogwrites", "node-name": "recorded", "file": "disk", "log": "log", "log-sector-size": SECTOR,
         "discard": "unmap"},
    ]  # fmt: skip
    with exported(nodes, shown):
        yield
    disk.unlink()
    shown.unlink()


class Log:
    """A finished log: the writes, in epochs that a flush ends."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._bytes = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, version, count, sector = struct.unpack_from("<QQQL", self._bytes)
        assert (magic, version, sector) == (_MAGIC, 1, SECTOR), "not a log that blklogwrites has made"
        self.epochs: list[list[Write]] = [[]]
        self.ends: list[list[int]] = [[]]  # of each write in the log
        self.flush_ends: list[int] = []
        at = SECTOR
        for _ in range(count):
            start, sectors, flags, _length = struct.unpack_from("<QQQQ", self._bytes, at)
            at += SECTOR
            if flags & _FLUSH:
                self._flush(at)
            if sectors:
                discard = bool(flags & _DISCARD)
                self.epochs[-1].append(Write(start * SECTOR, sectors * SECTOR, None if discard else at))
                at += 0 if discard else sectors * SECTOR
                self.ends[-1].append(at)
            if flags & _FUA:  # durable by itself; what came before it in the order of the log is taken to be, too
                self._flush(at)

    def _flush(self, end: int) -> None:
        self.epochs.append([])
        self.ends.append([])
        self.flush_ends.append(end)

    def cuts(self, rng: random.Random, between: int) -> list[Cut]:
        """A cut at each flush, and after each flush up to `between` others, in the order of time."""
        found: list[Cut] = []
        for number, (writes, ends) in enumerate(zip(self.epochs, self.ends, strict=True)):
            if number and (writes or number == len(self.epochs) - 1):  # two flushes with nothing between are one
                found.append(Cut(number, (), None, "flush", self.flush_ends[number - 1]))
            for turn in range(min(between, len(writes))):
                kind = ("prefix", "torn", "any", "all but one")[turn % 4]
                last = rng.randrange(len(writes))
                chosen, torn = tuple(range(last + 1)), None
                tears = range(_WHOLE - writes[last].start % _WHOLE, writes[last].length, _WHOLE)
                if kind == "torn" and tears:
                    torn = rng.choice(tears)
                elif kind == "any":
                    chosen = tuple(place for place in chosen if rng.random() < 0.5)
                elif kind == "all but one":
                    chosen, last = tuple(place for place in range(len(writes)) if place != last), len(writes) - 1
                found.append(Cut(number, chosen, torn, kind, ends[last]))
        return found

    def apply(self, disk: int, write: Write, *, torn: int | None = None) -> None:
        """Carry out a write on the open file `disk`, or the first `torn` bytes of it."""
        if write.data_at is not None:
            length = write.length if torn is None else torn
            os.pwrite(disk, self._bytes[write.data_at : write.data_at + length], write.start)
            return
        assert punch(disk, write.start, write.length), "no holes in files here"

    def close(self) -> None:
        self._bytes.close()
        self._file.close()


def disks(log: Log, before: Path, cuts: list[Cut], folder: Path) -> Iterator[tuple[Cut, Path]]:
    """For each cut, in the order of time, the disk that it leaves. `before` is the disk when the recording began."""
    durable, cut_disk = folder / "durable.img", folder / "cut.img"
    copy_image(before, durable)
    applied = 0
    for cut in cuts:
        with durable.open("r+b") as file:
            for epoch in log.epochs[applied : cut.flushes]:
                for write in epoch:
                    log.apply(file.fileno(), write)
        applied = max(applied, cut.flushes)
        copy_image(durable, cut_disk)
        with cut_disk.open("r+b") as file:
            for place in cut.writes:
                last = place == cut.writes[-1]
                log.apply(file.fileno(), log.epochs[cut.flushes][place], torn=cut.torn if last else None)
        yield cut, cut_disk
    durable.unlink()
    cut_disk.unlink(missing_ok=True)
