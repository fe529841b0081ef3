r"""One entry of a tree, as one line of text: listings, manifests and plans consist of them.

The line is rsync's own (`--out-format`, see `tools.rsync`), so an unchanged entry is an equal line, and two trees are
compared as two texts:

    >f+++++++++|rw-r--r--|0|0|5120|2026/11/20-03:00:00|//etc/fstab
    cd+++++++++|rwxr-xr-x|0|0|4096|2026/11/20-03:00:00|//etc/
    cL+++++++++|rwxrwxrwx|0|0|7|2026/11/20-03:00:00| -> usr/bin//bin
    hf+++++++++|rw-r--r--|0|0|5120|2026/11/20-03:00:00| => etc/fstab//a

Fields: rsync's item, whose first letter (`h` for a further name of a hard link group) and second one (the type: f file,
d directory, L symlink, D device, S fifo or socket) matter; permissions; numeric owner and group; size in bytes;
modification time in UTC, in whole seconds (of any year, see `times`); the target of a link; and the name, after two
slashes, which no name contains. In names, control characters (but tab) are `\#ooo` in octal, and so is a backslash that
would look like one. The root is `./`.
"""

from __future__ import annotations

import re
import stat
from functools import cached_property, lru_cache

from msgspec import Struct

from snapmirror.errors import DamageError
from snapmirror.snapshots import times
from snapmirror.snapshots.lines import Line

_ESCAPE = re.compile(rb"\\#([0-7]{3})")
_MUST_ESCAPE = re.compile(rb"[\x00-\x08\x0a-\x1f]|\\(?=#[0-9]{3})")
_MOST_BYTES, _MOST_IDS = 1 << 63, 1 << 32
_TYPE_BITS = {
    b"f": stat.S_IFREG,
    b"d": stat.S_IFDIR,
    b"L": stat.S_IFLNK,
    b"D": 0,
    b"S": 0,
}


class BadLine(DamageError):  # noqa: N818
    """A line that is not an entry, or whose name leaves the tree: damaged, or hostile."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="'snapmirror verify' tells which snapshots are hit")


def unescape(name: bytes) -> bytes:
    """The real bytes of a name that rsync printed."""
    if b"\\#" not in name:
        return name
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 255]), name)


def escape(name: bytes) -> bytes:
    """A name as rsync prints it with --8-bit-output in the C locale."""
    return _MUST_ESCAPE.sub(lambda match: b"\\#%03o" % match[0][0], name)


class Entry(Struct, frozen=True, dict=True):
    """One entry, taken apart. `path` is relative, without a slash at its end; the root is `.`."""

    line: Line
    path: bytes
    kind: bytes
    permissions: bytes
    uid: int
    gid: int
    size: int
    time_text: bytes
    target: bytes | None = None
    leader: bytes | None = None

    @property
    def is_directory(self) -> bool:
        """Whether other entries can lie below this one."""
        return self.kind == b"d"

    @cached_property
    def mtime(self) -> int:
        """Modification time in seconds since 1970, UTC."""
        return parse_time(self.time_text)

    def is_of(self, seconds: int) -> bool:
        """Whether a file system's time of `seconds` is the nearest that it can store for this one. Raises BadLine."""
        return seconds == self.mtime or times.fits(self.time_text, seconds)

    @cached_property
    def mode(self) -> int:
        """The permission bits, set-id and sticky bits included, without the type."""
        return parse_permissions(self.permissions)

    @property
    def attributes(self) -> bytes:
        """The whole line except its name and target: equal for two names of one inode."""
        return self.kind + b"|" + b"|".join(self.line.split(b"|", 6)[1:6])


def parse(line: Line) -> Entry:
    """Parse a line. Raises BadLine for one that is not an entry."""
    fields = line.split(b"|", 6)
    if len(fields) != 7 or fields[0][1:2] not in _TYPE_BITS or len(fields[1]) < 9:
        raise BadLine(f"not an entry: {line[:200]!r}")
    item, permissions, uid, gid, size_text, time_text, text = fields
    try:
        size, owner, group = int(size_text), int(uid), int(gid)
    except ValueError:
        raise BadLine(f"not an entry: {line[:200]!r}") from None
    if not (0 <= size < _MOST_BYTES and 0 <= owner < _MOST_IDS and 0 <= group < _MOST_IDS):
        raise BadLine(f"an entry that cannot be: {line[:200]!r}")
    kind, target, leader = item[1:2], None, None
    link, slashes, name = text.rpartition(b"//")
    if item[:1] == b"h":
        leader = unescape(_pointed(link, b" => "))
    elif kind == b"L":
        target = unescape(_pointed(link, b" -> "))
    path = unescape(name.removesuffix(b"/") if kind == b"d" else name)
    if not slashes or not is_inside(path) or (leader is not None and not is_inside(leader)):
        raise BadLine(f"an entry whose name cannot be: {line[:200]!r}")
    return Entry(line, path, kind, permissions, owner, group, size, time_text, target, leader)


def _pointed(link: bytes, arrow: bytes) -> bytes:
    if not link.startswith(arrow):
        raise BadLine(f"a link without a target: {link[:200]!r}")
    return link[len(arrow) :]


def plain_line(attributes: bytes, path: bytes, pointer: bytes = b"") -> Line:
    """The line of a name that leads its group or is alone; `pointer` is ` -> target`, escaped, of a symlink."""
    item = (b">" if attributes[:1] == b"f" else b"c") + attributes[:1] + b"+++++++++"
    slash = b"/" if attributes[:1] == b"d" else b""
    return Line(item + attributes[1:] + b"|" + pointer + b"//" + escape(path) + slash)


def linked_line(attributes: bytes, path: bytes, leader: bytes) -> Line:
    """The line of a further name of a hard link group."""
    item = b"h" + attributes[:1] + b"+++++++++"
    return Line(item + attributes[1:] + b"| => " + escape(leader) + b"//" + escape(path))


def is_settled(old: Line, new: Line, is_nearest: times.IsNearest) -> bool:
    """Whether two lines of a name are equal except for a time that `old` has as it is on the disk, see `times`."""
    before, after = old.split(b"|", 6), new.split(b"|", 6)
    if before[:5] != after[:5] or before[6] != after[6] or times.is_usual(after[5]):
        return False
    try:
        return times.fits(after[5], times.parse(before[5]), is_nearest)
    except ValueError:
        return False


def with_time(line: Line, seconds: int) -> Line:
    """The line (without number) with another modification time."""
    fields = line.split(b"|", 6)
    return Line(b"|".join([*fields[:5], times.written(seconds), fields[6]]))


def size_of(line: Line) -> int:
    """The size in bytes in a line (without number)."""
    return int(line.split(b"|", 5)[4])


def path_of(line: Line) -> bytes:
    """The path of a line, whatever its other fields contain."""
    name = unescape(line.rpartition(b"//")[2])
    return name.removesuffix(b"/") if line[1:2] == b"d" else name


def path_key(line: Line) -> bytes:
    """The place of a line in rsync's order: in each directory files come first, then each directory with all below.

    Comparing the bytes gives the order: every directory of the path is `\\1name/`, any other entry `\\0name`.
    """
    return key_of(path_of(line), is_directory=line[1:2] == b"d")


def key_of(path: bytes, *, is_directory: bool) -> bytes:
    """The same for a path."""
    if path == b".":
        return b""
    if is_directory:
        return b"\1" + path.replace(b"/", b"/\1") + b"/"
    folder, slash, name = path.rpartition(b"/")
    return (b"\1" + folder.replace(b"/", b"/\1") + slash if slash else b"") + b"\0" + name


def is_inside(path: bytes) -> bool:
    """Whether a name, joined to a folder, stays in it. A server may send any name."""
    if path == b".":
        return True
    parts = path.split(b"/")
    return b"\0" not in path and not (b"" in parts or b"." in parts or b".." in parts)


def is_within(path: bytes, top: bytes) -> bool:
    """Whether a path is `top`, or lies below it."""
    return path == top or path.startswith(top + b"/")


def inside(name: bytes) -> bytes:
    """The path of an escaped name. Raises BadLine for one that leaves the tree."""
    path = unescape(name).removesuffix(b"/")
    if not is_inside(path):
        raise BadLine(f"a name that cannot be: {name[:200]!r}")
    return path


def parent(path: bytes) -> bytes:
    """The folder of a path; the root's is the root."""
    return path.rpartition(b"/")[0] or b"."


def join(root: bytes, path: bytes) -> bytes:
    """A relative path below an absolute root."""
    return root if path == b"." else root + b"/" + path


def parse_time(text: bytes) -> int:
    """Seconds since 1970 of rsync's `2026/11/20-03:00:00`, whatever the year. Raises BadLine."""
    try:
        return times.parse(text)
    except ValueError:
        raise BadLine(f"not a time: {text[:40]!r}") from None


@lru_cache(maxsize=4096)  # a tree has few different ones; without the cache they are half the cost of an entry
def parse_permissions(text: bytes) -> int:
    """The permission bits of `rwxr-sr-t`. Raises BadLine."""
    mode = 0
    for position, letter in enumerate(text[:9].decode("latin-1")):
        bit = 0o400 >> position
        special = {2: stat.S_ISUID, 5: stat.S_ISGID, 8: stat.S_ISVTX}.get(position)
        if letter in ("sS" if position < 8 else "tT") and special:
            mode |= special | (bit if letter.islower() else 0)
        elif letter != "-":
            if letter != "rwx"[position % 3]:
                raise BadLine(f"not permissions: {text[:20]!r}")
            mode |= bit
    return mode
