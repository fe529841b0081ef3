"""Random source trees with every kind of entry, name and attribute that a server may hold.

A `Tree` wraps one directory and grows entries in it. All choices come from the `random.Random` that the caller hands
in, so a seed names a tree; hypothesis draws kinds and seeds, and can leave entries out while it shrinks.
What changes from one night to the next is in `nights.py`.
"""

# Names are bytes here, and pathlib knows only text.

from __future__ import annotations

import itertools
import os
import random
import stat
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.fingerprint import Fingerprint, fingerprint

NAMES: tuple[bytes, ...] = (
    b"plain", b"other.txt", b"with space", b" leading blank", b"trailing blank ", b" ", b"\tleading tab", b"tab\there",
    b"new\nline", b"\n", b"ends\n", b"\r", b"carriage\rreturn", b"-rf", b"--delete", b"-", b"single'quote",
    b'double"quote', b"back\\slash", b"\\", b"\\n", b"\\#012", b"x\\#012y", b"\\#134", b"a -> b", b" -> ", b"-> x",
    b"a => b", b" => ", b"a|b", b"|", b"%n%L", b"*", b"[a-z]", b"?", b"#comment", b";comment", b"!", b"+ plus",
    b"- minus", b"...", b"..x", b"~", b"$HOME", b"`id`", b"$(id)", b"caf\xc3\xa9", b"cafe\xcc\x81", b"\xff\xfe",
    b"bad\x80utf", b"\x01control", b"\x7f", b"\x1b[31mred", b".plain.AbCdEf", b".plain.aBc123", b".rsync-partial",
    b".~tmp~", b".snapmirror", b".snapmirror.tmp", b"by-date", b"backup.1", b"lost+found", b"L" * 255,
    b"\xe9" * 255, b"n" * 254 + b"\n", b"[unprintable]", b"user@host:path", b"host::module", b"rsync:",
)  # fmt: skip
TARGETS: tuple[bytes, ...] = (
    b"nowhere", b"/", b"/etc/passwd", b"..", b"../../../../outside", b".", b"a -> b", b" -> ", b" => x", b"new\nline",
    b"\xff\x80", b"\\#012", b" ", b"-rf", b"t" * 1000, b"plain", b"//double//slash/", b"trailing/",
)  # fmt: skip
FILE_MODES = (0o644, 0o600, 0o755, 0o000, 0o444, 0o4755, 0o2755, 0o1644, 0o7777, 0o200)
DIRECTORY_MODES = (0o755, 0o700, 0o1777, 0o2775, 0o000, 0o555, 0o7777)
OWNERS = (0, 1, 1000, 65534, 70000, 3_000_000_000)
# Few values, so that an old time comes back with another content, a trap for whoever trusts size and time too far.
TIMES_NS = (
    0, 1, -86_400_000_000_000, -1_500_000_000, 981_173_106_000_000_000, 981_173_107_123_456_789,
    1_700_000_000_999_999_999, 4_102_444_800_000_000_000, 4_102_444_801_500_000_000,
)  # fmt: skip
DEVICES = ((1, 3), (5, 1), (7, 200), (8, 1), (259, 70_000))
_SPARE_SECONDS = itertools.count(1_200_000_000)  # each is used once
KINDS = (
    "empty", "small", "small", "small", "sparse", "large", "directory", "directory", "deep", "symlink", "symlink",
    "fifo", "socket", "char device", "block device", "hard link", "hard link", "outside link",
)  # fmt: skip


class Tree:
    """A source tree under `root`, with the operations that its entries are made of."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)
        self.outside = self.root + b".outside"  # links from here into the tree raise link counts without a visible name
        os.makedirs(self.root, exist_ok=True)
        os.makedirs(self.outside, exist_ok=True)
        self._seen: dict[tuple[bytes, str, int, int], tuple[int, str]] = {}

    # -- looking -------------------------------------------------------------------------------------------------

    def full(self, path: bytes) -> bytes:
        """The absolute path of an entry."""
        return self.root if path == b"." else os.path.join(self.root, path)

    def lstat(self, path: bytes) -> os.stat_result:
        return os.lstat(self.full(path))

    def entries(self, *wanted: Callable[[int], bool]) -> list[bytes]:
        """Paths of all entries (the root apart) whose type is one of `wanted` (predicates such as stat.S_ISREG)."""
        found = []
        for path in self._walk(b""):
            mode = self.lstat(path).st_mode
            if not wanted or any(want(mode) for want in wanted):
                found.append(path)
        return sorted(found)

    def directories(self) -> list[bytes]:
        """All directories, the root (b"") included, which a new entry may go into."""
        return [b"", *self.entries(stat.S_ISDIR)]

    def fingerprint(self) -> Fingerprint:
        return fingerprint(self.root)

    def free_path(self, rng: random.Random, parent: bytes | None = None) -> bytes:
        """A path that does not exist yet, in a random directory that leaves room for more below it."""
        if parent is None:
            parent = rng.choice([path for path in self.directories() if len(path) < 1500])
        while True:
            name = rng.choice(NAMES) if rng.random() < 0.8 else b"f%d" % rng.randrange(1000)
            path = os.path.join(parent, name)
            if not os.path.lexists(self.full(path)):
                return path
            path = os.path.join(parent, b"n%d" % rng.randrange(10**6))
            if not os.path.lexists(self.full(path)):
                return path

    def _walk(self, below: bytes) -> Iterator[bytes]:
        with os.scandir(os.path.join(self.root, below)) as entries:
            names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in names:
            path = os.path.join(below, name)
            yield path
            if is_directory:
                yield from self._walk(path)

    # -- growing -------------------------------------------------------------------------------------------------

    def grow(self, kinds: Sequence[tuple[str, int]]) -> None:
        """Add an entry for each (kind, seed); the attributes of everything new, and of the root, are random too."""
        for kind, seed in kinds:
            rng = random.Random(seed)
            self.make(kind, self.free_path(rng), rng)
        self.dress(b".", random.Random(len(kinds)))

    def make(self, kind: str, path: bytes, rng: random.Random) -> None:
        """Create one entry of `kind` at `path`, which must be free."""
        full = self.full(path)
        match kind:
            case "empty":
                self.write(path, b"")
            case "small":
                self.write(path, rng.randbytes(rng.choice((1, 5, 5, 5, 100, 3000))))
            case "large":
                self.write(path, rng.randbytes(rng.randrange(150_000, 400_000)))
            case "sparse":
                self.write(path, b"")
                os.truncate(full, rng.randrange(300_000, 700_000))
                self.patch(path, 131_072, b"island")
            case "directory":
                os.mkdir(full)
                for _ in range(rng.randrange(4)):
                    self.make(rng.choice(("empty", "small", "symlink", "fifo")), self.free_path(rng, path), rng)
            case "deep":
                below = path
                for level in range(rng.randrange(3, 25)):
                    os.mkdir(self.full(below))
                    self.dress(below, rng)
                    below = os.path.join(below, b"d%d" % level)
                self.write(below, b"at the bottom")
                self.dress(below, rng)
            case "symlink":
                os.symlink(rng.choice(TARGETS), full)
            case "fifo":
                os.mkfifo(full)
            case "socket":
                os.mknod(full, stat.S_IFSOCK | 0o600)
            case "char device":
                os.mknod(full, stat.S_IFCHR | 0o600, os.makedev(*rng.choice(DEVICES)))
            case "block device":
                os.mknod(full, stat.S_IFBLK | 0o600, os.makedev(*rng.choice(DEVICES)))
            case "hard link":
                self._make_link(path, rng)
                return  # one inode, one set of attributes: dressing it again would change the others as well
            case "outside link":
                self.write(path, b"linked from outside")
                os.link(full, os.path.join(self.outside, b"%d" % os.lstat(full).st_ino))
            case _:
                raise ValueError(kind)
        self.dress(path, rng)

    def write(self, path: bytes, data: bytes) -> None:
        with open(self.full(path), "wb") as file:
            file.write(data)

    def patch(self, path: bytes, offset: int, data: bytes) -> None:
        """Overwrite in place: same inode, same size where the file is long enough."""
        fd = os.open(self.full(path), os.O_WRONLY)
        try:
            os.pwrite(fd, data, offset)
        finally:
            os.close(fd)

    def _make_link(self, path: bytes, rng: random.Random) -> None:
        others = self.entries(lambda mode: not stat.S_ISDIR(mode))
        leader = rng.choice(others) if others else self.free_path(rng)
        if not others:
            self.make("small", leader, rng)
        if not os.path.lexists(self.full(path)):
            os.link(self.full(leader), self.full(path), follow_symlinks=False)

    # -- attributes ----------------------------------------------------------------------------------------------

    def dress(self, path: bytes, rng: random.Random) -> None:
        """Give an entry random owner, mode, extended attributes, ACLs and time."""
        self.set_owner(path, rng)
        self.set_mode(path, rng)
        if rng.random() < 0.25:
            self.set_xattr(path, rng)
        if rng.random() < 0.2:
            self.set_acl(path, rng)
        self.set_time(path, rng)

    def set_owner(self, path: bytes, rng: random.Random) -> None:
        uid, gid = (rng.choice(OWNERS), rng.choice(OWNERS)) if rng.random() < 0.5 else (0, 0)
        mode = self.lstat(path).st_mode
        os.lchown(self.full(path), uid, gid)
        if not stat.S_ISLNK(mode):
            os.chmod(self.full(path), stat.S_IMODE(mode))  # chown takes setuid away

    def set_mode(self, path: bytes, rng: random.Random) -> None:
        mode = self.lstat(path).st_mode
        if not stat.S_ISLNK(mode):
            os.chmod(self.full(path), rng.choice(DIRECTORY_MODES if stat.S_ISDIR(mode) else FILE_MODES))

    def set_time(self, path: bytes, rng: random.Random) -> None:
        chosen = rng.choice(TIMES_NS) if rng.random() < 0.5 else rng.randrange(10**9, 2 * 10**9) * 10**9 + 123
        self.set_mtime_ns(path, chosen)

    def set_mtime_ns(self, path: bytes, mtime_ns: int) -> None:
        os.utime(self.full(path), ns=(self.lstat(path).st_atime_ns, mtime_ns), follow_symlinks=False)

    def set_xattr(self, path: bytes, rng: random.Random) -> None:
        """User attributes exist on files and directories only; one longer than rsync sends in the first round."""
        mode = self.lstat(path).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            name = rng.choice(("user.a", "user.b", "user.with space"))
            os.setxattr(self.full(path), name, rng.randbytes(rng.choice((1, 8, 200))))

    def set_acl(self, path: bytes, rng: random.Random) -> None:
        mode = self.lstat(path).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            os.setxattr(self.full(path), "system.posix_acl_access", acl(rng))
        if stat.S_ISDIR(mode) and rng.random() < 0.5:
            os.setxattr(self.full(path), "system.posix_acl_default", acl(rng))

    def drop_xattrs(self, path: bytes) -> None:
        for name in os.listxattr(self.full(path), follow_symlinks=False):
            with suppress(OSError):
                os.removexattr(self.full(path), name, follow_symlinks=False)

    # -- the documented limit ------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Move times to other seconds where rsync could not tell two states apart.

        It sees size and whole seconds; its listing shows no device numbers, and tells neither sockets from
        FIFOs nor character from block devices.

        The same goes for "now": rsync leaves what it has just created with the present second alone.
        What counts are the states since the last published night, because those may lie in the store; `published`
        forgets the older ones, so an old size and time may well return with another content later.
        """
        today = range(int(time.time()) - 86_400, int(time.time()) + 86_400)
        changed = True
        while changed:
            changed = False
            for path, mark in self.fingerprint().items():
                second = mark.mtime_ns // 10**9
                shown = mark.kind.removeprefix("char ").removeprefix("block ").replace("socket", "fifo")
                key, state = (path, shown, mark.size, second), (mark.mtime_ns, f"{mark.content}{mark.kind}{mark.rdev}")
                if second in today or self._seen.setdefault(key, state) != state:
                    self.set_mtime_ns(path, next(_SPARE_SECONDS) * 10**9 + 42)
                    changed = True
        for path in [b".", *self.entries(stat.S_ISREG, stat.S_ISDIR)]:
            self._avoid_rsync_acl_quirk(path)

    def _avoid_rsync_acl_quirk(self, path: bytes) -> None:
        """Where the owning group's rights equal the mask, rsync 3.5.0 may zero them beside a default ACL."""
        name = "system.posix_acl_access"
        if name in os.listxattr(self.full(path)):
            raw = bytearray(os.getxattr(self.full(path), name))
            rights = {tag: (offset, raw[offset + 2]) for offset in range(4, len(raw), 8) for tag in (raw[offset],)}
            if rights[0x04][1] == rights[0x10][1]:
                raw[rights[0x04][0] + 2] ^= 1
                os.setxattr(self.full(path), name, bytes(raw))

    def published(self) -> None:
        """The present state is in the newest snapshot: only it can be mistaken from now on."""
        self._seen.clear()
        self.settle()


def acl(rng: random.Random) -> bytes:
    """A POSIX ACL with named users and groups, in the kernel's xattr form (version 2, entries of tag, rights, id)."""
    undefined = 0xFFFFFFFF
    users = sorted(rng.sample((7, 1000, 70000), rng.randrange(1, 3)))
    entries = [(0x01, rng.randrange(8), undefined)]
    entries += [(0x02, rng.randrange(8), user) for user in users]
    entries += [(0x04, rng.randrange(8), undefined)]
    entries += [(0x08, rng.randrange(8), 50)]
    entries += [(0x10, rng.randrange(8), undefined), (0x20, rng.randrange(8), undefined)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
