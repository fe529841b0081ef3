"""A big sparse file as a table of checksums, one for each block; read past the caches. Runs no program.

A block that holds only zeros, written or a hole, has the checksum NONE: so a table also says where holes belong, and
two tables say what must be written and what punched to turn one file into the other.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from snapmirror import files, interrupts
from snapmirror.storage import image
from snapmirror.tools import cifs

SUM_BYTES = 16  # of BLAKE2b: two contents with the same one occur neither by accident nor by a server's design
NONE = bytes(SUM_BYTES)
CHUNK_BYTES = 4 << 20  # the largest read
_STRIDE = 1024 * SUM_BYTES
# NTFS frees space in units of 64 KiB; smaller blocks would only make the table larger.
_SMALLEST_BLOCK = 64 << 10
_MOST_BLOCKS = 4 << 20  # a table of 64 MiB: the helper VM has 768

Advance = Callable[[int], None]


class Shape(Struct, frozen=True):
    """The division of a file: its size, and that of its blocks (except the last)."""

    size: int
    block: int

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return -(-self.size // self.block)

    def empty_table(self) -> bytearray:
        """The checksums of a file that is a single hole."""
        return bytearray(self.blocks * SUM_BYTES)

    def span(self, run: Run) -> tuple[int, int]:
        """First byte and length of a run."""
        start = run.block * self.block
        return start, min(run.count * self.block, self.size - start)


class Run(Struct, frozen=True):
    """Consecutive blocks; all to be written, or all to become a hole."""

    block: int
    count: int
    hole: bool


def shape_of(size: int) -> Shape:
    """The division of a file of this size: blocks of 64 KiB, doubled until the table is small enough."""
    block = _SMALLEST_BLOCK
    while size > block * _MOST_BLOCKS:
        block *= 2
    return Shape(size, block)


def sum_of(data: bytes | bytearray | memoryview) -> bytes:
    """The checksum of a range, zeros or not; 'b2sum --length=128' prints the same."""
    return hashlib.blake2b(data, digest_size=SUM_BYTES).digest()


def differences(have: bytes | bytearray, want: bytes | bytearray, shape: Shape) -> list[Run]:
    """The changes that turn a file with the sums `have` into that with `want`; a run to write fits into a chunk."""
    most = max(1, CHUNK_BYTES // shape.block)
    found: list[Run] = []
    for base in range(0, len(want), _STRIDE):
        if have[base : base + _STRIDE] == want[base : base + _STRIDE]:
            continue
        for at in range(base, min(base + _STRIDE, len(want)), SUM_BYTES):
            wanted = want[at : at + SUM_BYTES]
            if have[at : at + SUM_BYTES] == wanted:
                continue
            block, hole = at // SUM_BYTES, wanted == NONE
            last = found[-1] if found else None
            joins = last is not None and last.hole == hole and last.block + last.count == block
            if last is not None and joins and (hole or last.count < most):
                found[-1] = Run(last.block, last.count + 1, hole)
            else:
                found.append(Run(block, 1, hole))
    return found


class Reader:
    """A file that is read from its device: with direct I/O, or, where that is impossible, with its pages dropped."""

    def __init__(self, descriptor: int, shape: Shape, *, on_share: bool = False) -> None:
        self._descriptor = descriptor
        self._on_share = on_share
        self._shape = shape
        self._room = memoryview(mmap.mmap(-1, max(CHUNK_BYTES, shape.block)))  # page-aligned, as direct I/O requires
        self._zeros = {length: sum_of(bytes(length)) for length in {shape.block, shape.size % shape.block}}
        self.read_bytes = 0

    def read(self, start: int, length: int) -> memoryview:
        """A range of at most a chunk; valid until the next read. Shorter only at the end of the file."""
        interrupts.check()
        done = 0
        while done < length:
            # rounded up to whole sectors, as direct I/O requires; the end of the file cuts it
            room = self._room[done : done + -(-(length - done) // 4096) * 4096]
            try:
                got = os.preadv(self._descriptor, [room], start + done)
            except OSError as error:
                if error.errno != errno.EINVAL or not self._is_direct():
                    raise
                self._go_without()
                continue
            if not got:
                break
            done += got
        self.read_bytes += min(done, length)
        return self._room[: min(done, length)]

    def ranges(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """The ranges with data, as whole blocks: (start, end), end excluded; all, where there are no holes."""
        at, end, block = start, self._shape.size if end is None else end, self._shape.block
        for first, last in self._extents(start):
            first, last = max(at, first - first % block), min(end, -(-last // block) * block)
            if first < last:
                yield first, last
                at = last
            if at >= end:
                return

    def _extents(self, start: int) -> Iterator[tuple[int, int]]:
        """The ranges for which the file system reports allocated space, from `start` on."""
        if self._on_share:
            try:
                yield from cifs.allocated_ranges(self._descriptor, start)
            except OSError:
                yield start, self._shape.size  # after the ranges already yielded, so that none is read twice
            return
        at = start
        while True:
            try:
                first = os.lseek(self._descriptor, at, os.SEEK_DATA)
                at = os.lseek(self._descriptor, first, os.SEEK_HOLE)
            except OSError as error:
                if error.errno != errno.ENXIO:  # this file system cannot report holes; ENXIO: only a hole from here on
                    yield at, self._shape.size
                return
            yield first, at

    def data_bytes(self) -> int:
        """The number of bytes to read: everything that is not a hole."""
        return sum(end - start for start, end in self.ranges())

    def chunks(self) -> Iterator[tuple[int, memoryview]]:
        """All data, in ranges that fit into memory, with their first byte."""
        for start, end in self.ranges():
            for at in range(start, end, CHUNK_BYTES):
                yield at, self.read(at, min(CHUNK_BYTES, end - at))

    def sums(self, data: memoryview) -> bytes:
        """The checksums of the blocks in a range."""
        block = self._shape.block
        found = []
        for at in range(0, len(data), block):
            piece = data[at : at + block]
            value = sum_of(piece)
            found.append(NONE if value == self._zeros.get(len(piece)) else value)
        return b"".join(found)

    def table(self, advance: Advance) -> bytearray:
        """The checksums of the whole file."""
        table = self._shape.empty_table()
        for start, data in self.chunks():
            put(table, start // self._shape.block, self.sums(data))
            advance(len(data))
        return table

    def is_zero(self, start: int, length: int) -> bool:
        """Whether a range reads as zeros; holes are not read."""
        for first, last in self.ranges(start, start + length):
            for at in range(first, last, CHUNK_BYTES):
                if self.sums(self.read(at, min(CHUNK_BYTES, last - at))).strip(b"\0"):
                    return False
        return True

    def _is_direct(self) -> bool:
        return bool(fcntl.fcntl(self._descriptor, fcntl.F_GETFL) & os.O_DIRECT)

    def _go_without(self) -> None:
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def put(table: bytearray, block: int, sums: bytes) -> None:
    """Write checksums into the table from a block on."""
    table[block * SUM_BYTES : block * SUM_BYTES + len(sums)] = sums


@contextmanager
def uncached(file: Path, shape: Shape) -> Iterator[Reader]:
    """Open the file for reading past the caches."""
    try:
        descriptor = files.opened(file, os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        descriptor = files.opened(file)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        yield Reader(descriptor, shape, on_share=image.on_share(file))
    finally:
        os.close(descriptor)
