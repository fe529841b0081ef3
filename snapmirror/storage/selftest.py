"""The storage self-test: storage is trusted only after data was written, flushed, dropped from caches and read back.

Runs no program itself. The load is of the kind that found silent corruption in a stack which passed smaller tests
(FACTS): blocks of mixed sizes, many small files, rounds of hard-linked copies with changes. Then everything is closed
and opened again, compared with what should have been written, and the file system is checked while unmounted. The
default size found that corruption (direct I/O over QEMU's bare FUSE export, XFS and ext4) in each of 6 runs.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from snapmirror.config import Config, ImageConfig
from snapmirror.errors import StorageError
from snapmirror.storage import encryption, export_lock, filesystem, image, known_header, pool
from snapmirror.storage.image import ImageRecord
from snapmirror.storage.open_store import OpenStore, held, open_store, recover, standing
from snapmirror.tools import filesystems

log = logging.getLogger("snapmirror.selftest")

FOLDER = ".snapmirror-selftest"
_SMALL_SIZES = (0, 1, 511, 512, 513, 4095, 4096, 4097, 9000, 16384, 30000)
_BLOCK_SIZES = (512, 3000, 4096, 12288, 65536, 100_001, 1 << 20)
_FILES_PER_FOLDER = 40
_CHANGED_PER_ROUND = 0.15


class Workload(Struct, frozen=True):
    """The amount of data to write. The default takes 5 to 20 seconds."""

    small_files: int = 4000
    big_files: int = 4
    big_bytes: int = 16 << 20
    rounds: int = 3

    @property
    def needed_bytes(self) -> int:
        """The space that it needs at most, in bytes."""
        small = self.small_files * (1 + self.rounds * _CHANGED_PER_ROUND) * 12_000
        return int(small) + self.big_files * self.big_bytes

    @property
    def needed_inodes(self) -> int:
        """The inodes that it needs at most; each round has folders of its own."""
        per_round = _CHANGED_PER_ROUND + 1 / _FILES_PER_FOLDER
        return int(self.small_files * (1 + per_round * (self.rounds + 1))) + self.big_files + 10

    def fitting(self, free_bytes: int, free_inodes: int | None) -> Workload:
        """A smaller workload if there is little room: at most half of the room is used."""
        share = min(1.0, free_bytes / 2 / self.needed_bytes)
        if free_inodes is not None:
            share = min(share, free_inodes / 2 / self.needed_inodes)
        small, big = int(self.small_files * share), int(self.big_bytes * share)
        if small < 50:
            raise StorageError("too little room for a storage self-test", hint="free some space on the store")
        return replace(self, small_files=small, big_bytes=big)


DEFAULT_WORKLOAD = Workload()


class SelftestReport(Struct, frozen=True):
    """A self-test that passed. `free_bytes` is the store's free space before it."""

    files: int
    bytes: int
    seconds: float
    remounted: bool
    free_bytes: int

    def __str__(self) -> str:
        how = "remounted, read back, checked" if self.remounted else "read back"
        return f"{self.files} files, {self.bytes / 1e6:.0f} MB written, {how}: all as written ({self.seconds:.1f} s)"


def selftest(config: Config, workload: Workload = DEFAULT_WORKLOAD) -> SelftestReport:
    """Test the store's storage; leaves nothing behind. Raises StorageError for the smallest difference."""
    if config.image is None and config.zfs is not None:
        report = prove(lambda: open_store(config), workload, remounted=True)
        with open_store(config):
            pool.check_thoroughly(pool.Place(config.zfs, config.store.path))
        return report
    if config.image is None:
        with open_store(config) as store:
            return prove(lambda: nullcontext(store), workload)
    with export_lock.closed(config), held(config, config.image) as record:
        recover(config, config.image)
        image.compare(config.image.file, record, config.image)
        return selftest_held(config, config.image, record, workload)


def selftest_held(config: Config, image_config: ImageConfig, record: ImageRecord, workload: Workload) -> SelftestReport:
    """Test an image that the caller holds."""
    report = prove(lambda: standing(config, image_config, record), workload, remounted=True)
    key = encryption.read_key(image_config)
    with encryption.opened(image_config.file, record, key, known_header.copies_of(config)) as block:
        if config.zfs is not None:
            place = pool.Place(config.zfs, config.store.path, block.device, record.id)
            with pool.standing(place):
                pool.check_thoroughly(place)
        else:
            filesystem.check_thoroughly(block.device, record)
    return report


def prove(
    opened: Callable[[], AbstractContextManager[OpenStore]], workload: Workload, *, remounted: bool = False
) -> SelftestReport:
    """Write in one opening of the store, read back in the next, and compare."""
    started = time.monotonic()
    try:
        with opened() as store:
            folder = store.path / FOLDER
            shutil.rmtree(folder, ignore_errors=True)  # the rest of a killed self-test
            free = store.free_bytes()
            tree = _Tree(folder, workload.fitting(free, store.free_inodes()))
            try:
                tree.write()
                filesystems.flush(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        _drop_caches()
        with opened() as store:
            try:
                different = tree.compare()
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            store.trim()
    except OSError as error:
        where = f" at {error.filename}" if error.filename else ""
        raise StorageError(f"the storage self-test failed{where}: {error.strerror}", hint=_HINT) from error
    if different:
        raise StorageError(
            f"the storage self-test failed: {len(different)} of {len(tree.content_of)} files came back different, "
            f"the first is {different[0]}",
            hint=_HINT,
        )
    report = SelftestReport(len(tree.content_of), tree.written_bytes, time.monotonic() - started, remounted, free)
    log.info("storage self-test: %s", report)
    return report


_HINT = "this storage loses data: check the disk, its cable, the memory and the kernel's log before you trust it"


class _Tree(Struct):
    """The files to write and to read back. Contents are numbered; names that share a number share an inode."""

    folder: Path
    workload: Workload
    content_of: dict[str, int] = field(default_factory=dict)
    digests: list[bytes] = field(default_factory=list)
    written_bytes: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(8))  # the same every time

    def write(self) -> None:
        self.folder.mkdir(mode=0o700)
        for number in range(self.workload.small_files):
            self._write_small(f"round.0/{number // _FILES_PER_FOLDER}/{number}")
        for number in range(self.workload.big_files):
            self._write_big(f"big.{number}")
        for number in range(1, self.workload.rounds + 1):
            self._next_round(f"round.{number - 1}/", f"round.{number}/")

    def compare(self) -> list[str]:
        """The names that are missing, extra, or different from what was written."""
        found = {
            str(Path(parent, name).relative_to(self.folder))
            for parent, _, names in os.walk(self.folder)
            for name in names
        }
        names_of: dict[int, list[str]] = {}
        for name, content in self.content_of.items():
            names_of.setdefault(content, []).append(name)
        different = found ^ self.content_of.keys()
        for content, names in names_of.items():
            if not self._same(self.digests[content], [self.folder / name for name in names]):
                different.update(names)
        return sorted(different)

    def _same(self, digest: bytes, paths: list[Path]) -> bool:
        with suppress(OSError):  # an unreadable file counts as different
            statuses = [path.stat() for path in paths]
            one_inode = len({status.st_ino for status in statuses}) == 1 and statuses[0].st_nlink == len(paths)
            with paths[0].open("rb") as file:
                return one_inode and hashlib.file_digest(file, "blake2b").digest() == digest
        return False

    def _write_small(self, name: str) -> None:
        data = self._random.randbytes(self._random.choice(_SMALL_SIZES))
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._wrote(name, data)

    def _write_big(self, name: str) -> None:
        """Write blocks of mixed sizes, then some again in place, with holes made by seeking and a flush in between."""
        size, data = self.workload.big_bytes, bytearray(self.workload.big_bytes)
        with (self.folder / name).open("w+b", buffering=0) as file:
            for turn in range(2):
                offset = 0
                while offset < size:
                    block = self._random.randbytes(min(self._random.choice(_BLOCK_SIZES), size - offset))
                    if self._random.random() < (0.9, 0.2)[turn]:
                        os.pwrite(file.fileno(), block, offset)
                        data[offset : offset + len(block)] = block
                    offset += len(block)
                os.ftruncate(file.fileno(), size)
                os.fsync(file.fileno())
        self._wrote(name, data)

    def _next_round(self, before: str, after: str) -> None:
        for name, content in [item for item in self.content_of.items() if item[0].startswith(before)]:
            new = after + name.removeprefix(before)
            if self._random.random() < _CHANGED_PER_ROUND:
                self._write_small(new)
            else:
                path = self.folder / new
                path.parent.mkdir(parents=True, exist_ok=True)
                os.link(self.folder / name, path)
                self.content_of[new] = content

    def _wrote(self, name: str, data: bytes | bytearray) -> None:
        self.content_of[name] = len(self.digests)
        self.digests.append(hashlib.blake2b(data).digest())
        self.written_bytes += len(data)


def _drop_caches() -> None:
    with suppress(OSError):  # without root, or in a container: then only the remount empties the caches
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
