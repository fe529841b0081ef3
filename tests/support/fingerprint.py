"""What a tree is, down to the last attribute: the measure that every test of history uses.

`fingerprint(root)` maps each path below `root` (the root itself is `b"."`) to a `Mark`; `compare(a, b)` lists the
differences as lines for people. Link counts, access and change times are left out on purpose: they change in a sealed
snapshot when another snapshot links to an inode or lets go of it. The size of a directory belongs to its file system.
"""

# Names are bytes here, and pathlib knows only text.

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char device",
    stat.S_IFBLK: "block device",
}
_EMPTY = hashlib.blake2b().hexdigest()[:32]
_SHADOWS = "trusted.SGI_ACL_"  # how XFS stores an ACL; the ACL itself is system.posix_acl_*


@dataclass(frozen=True, slots=True)
class Mark:
    """Everything about one entry that a backup has to keep."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int
    content: str
    xattrs: tuple[tuple[str, bytes], ...]
    target: bytes
    rdev: int
    links: tuple[bytes, ...]


Fingerprint = dict[bytes, Mark]
ATTRIBUTES = tuple(field.name for field in fields(Mark))


def fingerprint(root: Path | bytes) -> Fingerprint:
    """The marks of `root` and of everything below it. Symbolic links are looked at, never followed."""
    top = os.fsencode(root)
    states: dict[bytes, os.stat_result] = {b".": os.lstat(top)}
    _collect(top, b"", states)
    groups: dict[tuple[int, int], list[bytes]] = {}
    for path, state in states.items():
        if not stat.S_ISDIR(state.st_mode):
            groups.setdefault((state.st_dev, state.st_ino), []).append(path)
    marks: Fingerprint = {}
    contents: dict[tuple[int, int], str] = {}
    for path, state in states.items():
        inode = (state.st_dev, state.st_ino)
        full = top if path == b"." else os.path.join(top, path)
        if stat.S_ISREG(state.st_mode) and inode not in contents:
            contents[inode] = _hash(full) if state.st_size else _EMPTY
        marks[path] = Mark(
            kind=_KINDS[stat.S_IFMT(state.st_mode)],
            mode=stat.S_IMODE(state.st_mode),
            uid=state.st_uid,
            gid=state.st_gid,
            mtime_ns=state.st_mtime_ns,
            size=0 if stat.S_ISDIR(state.st_mode) else state.st_size,
            content=contents.get(inode, ""),
            xattrs=_xattrs(full),
            target=os.readlink(full) if stat.S_ISLNK(state.st_mode) else b"",
            rdev=state.st_rdev if stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode) else 0,
            links=tuple(sorted(groups.get(inode, [path]))),
        )
    return marks


def compare(
    expected: Mapping[bytes, Mark], found: Mapping[bytes, Mark], *, ignore: Collection[str] = (), most: int = 20
) -> list[str]:
    """The differences as readable lines (at most `most`, then a count); an empty list means the trees are the same."""
    lines = []
    for path in sorted(expected.keys() | found.keys()):
        if path not in found:
            lines.append(f"{path!r}: missing (was a {expected[path].kind})")
        elif path not in expected:
            lines.append(f"{path!r}: not expected (is a {found[path].kind})")
        else:
            for name in ATTRIBUTES:
                want, got = getattr(expected[path], name), getattr(found[path], name)
                if name not in ignore and want != got:
                    lines.append(f"{path!r}: {name} {_shown(name, want)} became {_shown(name, got)}")
    return lines if len(lines) <= most else [*lines[:most], f"… and {len(lines) - most} more"]


def _collect(top: bytes, prefix: bytes, states: dict[bytes, os.stat_result]) -> None:
    pending = [prefix]
    while pending:
        below = pending.pop()
        with os.scandir(os.path.join(top, below)) as entries:
            for entry in entries:
                path = os.path.join(below, entry.name)
                states[path] = os.lstat(os.path.join(top, path))
                if stat.S_ISDIR(states[path].st_mode):
                    pending.append(path)


def _hash(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def _xattrs(path: bytes) -> tuple[tuple[str, bytes], ...]:
    names = sorted(name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith(_SHADOWS))
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)


def _shown(name: str, value: object) -> str:
    return oct(value) if name == "mode" and isinstance(value, int) else repr(value)
