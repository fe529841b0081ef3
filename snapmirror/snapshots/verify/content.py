"""Compares contents with the checksums taken at sealing. Each inode is read once, however many snapshots share it.

An inode means inode and number here: ZFS changes a file in place, so one inode has other content in each snapshot.
"""

from __future__ import annotations

import errno
import hashlib
import os
from bisect import bisect_left
from collections.abc import Callable

from msgspec import Struct, field

from snapmirror.errors import DamageError
from snapmirror.snapshots import checksums
from snapmirror.snapshots.entry import join
from snapmirror.snapshots.history import History
from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.verify.findings import CHECKSUMS, CONTENT, UNREADABLE, Report, without_checksums
from snapmirror.snapshots.verify.tree import Listed

_KEY = 8
_Inode = tuple[int, int]  # the number before a name, and the name's inode


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=_KEY).digest()


class Sums:
    """All checksums of a mirror, 24 bytes each: a hash of number and name, and the checksum."""

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self.numbers: set[int] = set()
        self.damaged: dict[int, str] = {}

    def load(self, history: History, newest: int) -> None:
        """Read every existing checksum file."""
        for number in range(1, newest + 1):
            path = history.checksums(number)
            if not path.exists():
                continue
            self.numbers.add(number)
            try:
                for name, checksum in checksums.read(path):
                    self._records.append(_digest(b"%d" % number, name) + bytes.fromhex(checksum.decode("ascii")))
            except DamageError as damage:
                self.damaged[number] = damage.message
            except ValueError:
                self.damaged[number] = f"the checksum file {path} is damaged: it holds something else"
        self._records.sort()

    def of(self, number: int, path: bytes) -> bytes | None:
        """The checksum of a name whose inode was new in this snapshot; None if there is none."""
        key = _digest(b"%d" % number, path)
        place = bisect_left(self._records, key)
        if place < len(self._records) and self._records[place].startswith(key):
            return self._records[place][_KEY:]
        return None


class ContentCheck(Struct):
    """Reads files and compares. `share` (0 to 1) of the contents is drawn by `seed`: the same seed, the same files."""

    sums: Sums
    report: Report
    share: float
    seed: int
    advance: Callable[[int, int], None]
    denied: int = 0
    _read: set[_Inode] = field(default_factory=set)
    _bad: dict[_Inode, tuple[str, str]] = field(default_factory=dict)
    _unknown: set[_Inode] = field(default_factory=set)
    _told: set[int] = field(default_factory=set)

    def look_at(self, snapshot: Snapshot, root: bytes, listed: Listed, status: os.stat_result) -> None:
        """Check one file of a snapshot."""
        inode = listed.number, status.st_ino
        if inode in self._read:
            self._note(snapshot, listed.entry.path, inode)
            return
        if self.share < 1 and not self._is_drawn(listed):
            return
        wanted = self.sums.of(listed.number, listed.entry.path)
        if wanted is None:
            self._note_unknown(snapshot, inode)
            return
        self.read(snapshot, join(root, listed.entry.path), listed.number, listed.entry.path, status, wanted)

    def read(
        self, snapshot: Snapshot, full: bytes, number: int, path: bytes, status: os.stat_result, wanted: bytes
    ) -> None:
        """Read one file (`full` is its absolute path) with a known checksum (MD5, in bytes)."""
        inode = number, status.st_ino
        if inode not in self._read:
            self._read.add(inode)
            self._unknown.discard(inode)
            verdict = self._verdict(full, wanted, status.st_size)
            if verdict is not None:
                self._bad[inode] = verdict
        self._note(snapshot, path, inode)

    def _note(self, snapshot: Snapshot, path: bytes, inode: _Inode) -> None:
        if inode in self._bad:
            kind, detail = self._bad[inode]
            self.report.add(snapshot.id, kind, path, detail, inode[0])

    def _is_drawn(self, listed: Listed) -> bool:
        draw = _digest(b"%d" % self.seed, b"%d" % listed.number, listed.entry.path)
        return int.from_bytes(draw, "big") < self.share * 2**64

    def _note_unknown(self, snapshot: Snapshot, inode: _Inode) -> None:
        """Another name of the same inode may have a checksum; but a whole checksum file must not be missing."""
        number, _ = inode
        self._unknown.add(inode)
        if number in self.sums.numbers and number not in self.sums.damaged:
            return
        if number not in self._told:
            self._told.add(number)
            message = self.sums.damaged.get(number) or without_checksums(number)
            self.report.add(snapshot.id, CHECKSUMS, None, message, number)

    def _verdict(self, full: bytes, wanted: bytes, size: int) -> tuple[str, str] | None:
        """The fault in a file's content, if any."""
        try:
            found = _md5(full)
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EPERM}:
                self.denied += 1
                return None
            return UNREADABLE, f"cannot be read: {error.strerror}"
        finally:
            self.advance(0, size)
        self.report.files_read += 1
        self.report.bytes_read += size
        if found == wanted:
            return None
        return CONTENT, f"has MD5 {found.hex()}, had {wanted.hex()}"

    @property
    def without_checksum(self) -> int:
        """The number of files that could not be checked because they have no known checksum."""
        return len({inode for _, inode in self._unknown} - {inode for _, inode in self._read})


def checksums_wrong(history: History, number: int) -> str | None:
    """The fault of the checksum file of the snapshot with this number; None if there is none."""
    path = history.checksums(number)
    if not path.exists():
        return without_checksums(number)
    try:
        for _, checksum in checksums.read(path):
            bytes.fromhex(checksum.decode("ascii"))
    except DamageError as damage:
        return damage.message
    except ValueError:
        return f"the checksum file {path} is damaged: it holds something else"
    return None


def _md5(full: bytes) -> bytes:
    descriptor = _opened(full)
    with os.fdopen(descriptor, "rb") as file:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # read from the disk: cached data proves nothing
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()


def _opened(full: bytes) -> int:
    """Open it, never through a symlink, and without changing the access time if that is allowed."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(full, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(full, flags)
