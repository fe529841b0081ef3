"""Compares an entry of a manifest with the file system."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress

from msgspec import Struct

from snapmirror import files
from snapmirror.model import count
from snapmirror.snapshots import times
from snapmirror.snapshots.entry import BadLine, Entry
from snapmirror.snapshots.verify.findings import MODE, OWNER, SIZE, TARGET, TIME, TYPE, UNREADABLE

_FAKE = re.compile(rb"([0-7]+) \d+,\d+ (\d+):(\d+)")
_SECOND = 1_000_000_000


class Rules(Struct, frozen=True):
    """What can be compared. `owners`: root has written the store, so owners and set-id bits were kept.

    `fake_super`: rsync has stored them, and types, in an extended attribute.
    """

    owners: bool = True
    fake_super: bool = False


class _Claim(Struct, frozen=True):
    """What an entry in the store represents."""

    mode: int
    uid: int
    gid: int
    is_fake: bool = False


def kind_of(mode: int) -> bytes:
    """The letter of a type in manifests."""
    kinds = {stat.S_IFREG: b"f", stat.S_IFDIR: b"d", stat.S_IFLNK: b"L", stat.S_IFCHR: b"D", stat.S_IFBLK: b"D"}
    return kinds.get(stat.S_IFMT(mode), b"S")


def kind_name(kind: bytes) -> str:
    """The name of a type for people."""
    return {b"f": "file", b"d": "folder", b"L": "symlink", b"D": "device", b"S": "fifo or socket"}[kind]


def differing(entry: Entry, status: os.stat_result, full: bytes, rules: Rules) -> Iterator[tuple[str, str]]:
    """(kind, detail) of every difference between the file system and the manifest; the type comes first."""
    claim = _claim(status, full, rules)
    kind = kind_of(claim.mode)
    if kind != entry.kind:
        yield TYPE, f"is a {kind_name(kind)}, was a {kind_name(entry.kind)}"
        return
    if entry.kind == b"f" and status.st_size != entry.size:
        yield SIZE, f"has {count(status.st_size, 'byte')}, had {entry.size:,}"
    try:
        wanted_time, wanted_mode = entry.mtime, entry.mode
    except BadLine as error:
        yield TYPE, f"its line in the manifest is damaged: {error}"
        return
    if not entry.is_of(status.st_mtime_ns // _SECOND):
        yield TIME, f"is of {times.iso(status.st_mtime_ns // _SECOND)}, was of {times.iso(wanted_time)}"
    mask = 0o7777 if rules.owners or claim.is_fake else 0o1777
    if entry.kind != b"L" and (claim.mode & mask) != (wanted_mode & mask):
        yield MODE, f"has mode {stat.S_IMODE(claim.mode):04o}, had {wanted_mode:04o}"
    if (rules.owners or claim.is_fake) and (claim.uid, claim.gid) != (entry.uid, entry.gid):
        yield OWNER, f"belongs to {claim.uid}:{claim.gid}, belonged to {entry.uid}:{entry.gid}"
    if entry.target is not None:
        yield from _target(entry, status, full)


def _target(entry: Entry, status: os.stat_result, full: bytes) -> Iterator[tuple[str, str]]:
    try:
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(full)  # noqa: PTH115  (bytes)
        else:  # with --fake-super a symlink is stored as a file that holds the target
            with files.reading(full) as file:
                target = file.read(1 << 16)
    except files.ForeignError as error:
        yield UNREADABLE, error.what
        return
    except OSError as error:
        yield UNREADABLE, error.strerror or str(error)
        return
    if target != entry.target:
        yield TARGET, f"points to {os.fsdecode(target)!r}, pointed to {os.fsdecode(entry.target or b'')!r}"


def _claim(status: os.stat_result, full: bytes, rules: Rules) -> _Claim:
    if rules.fake_super and not stat.S_ISLNK(status.st_mode):
        with suppress(OSError):
            match = _FAKE.match(os.getxattr(full, b"user.rsync.%stat", follow_symlinks=False))
            if match:
                return _Claim(int(match[1], 8), int(match[2]), int(match[3]), is_fake=True)
    return _Claim(status.st_mode, status.st_uid, status.st_gid)
