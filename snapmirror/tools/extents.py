"""Where the content of a file lies, as the file system reports it (FIEMAP). Runs no program."""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterator

_FIEMAP = 0xC020660B  # FS_IOC_FIEMAP
_HEAD, _EXTENT, _AT_ONCE = struct.Struct("<QQIIII"), struct.Struct("<QQQ16xI12x"), 512
_SYNC = 1  # data that is only in memory has no place yet
_LAST, _SHARED = 1, 0x2000


def extents(descriptor: int, start: int = 0, *, flush: bool = False) -> Iterator[tuple[int, int, bool]]:
    """The extents of an open file: where each begins, its length, and whether other files share it.

    Raises OSError if the file system does not report them.
    """
    while True:
        answer = bytearray(_HEAD.size + _AT_ONCE * _EXTENT.size)
        _HEAD.pack_into(answer, 0, start, (1 << 64) - 1 - start, _SYNC if flush else 0, 0, _AT_ONCE, 0)
        fcntl.ioctl(descriptor, _FIEMAP, answer)
        count = _HEAD.unpack_from(answer)[3]
        found: list[tuple[int, int, int, int]] = list(_EXTENT.iter_unpack(answer[_HEAD.size :]))[:count]
        for at, _, length, flags in found:
            yield at, length, bool(flags & _SHARED)
        if not found or found[-1][3] & _LAST:
            return
        start = found[-1][0] + found[-1][2]


def shared_bytes(descriptor: int) -> int:
    """How much of an open file other files share. Raises OSError if the file system does not report it."""
    return sum(length for _, length, shared in extents(descriptor, flush=True) if shared)
