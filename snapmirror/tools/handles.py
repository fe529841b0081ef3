"""File handles: names of inodes that need no folder. Two calls of the kernel that Python lacks; runs no program.

See name_to_handle_at(2) and open_by_handle_at(2). The second needs CAP_DAC_READ_SEARCH, which root has.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snapmirror.tools.mount import mount_of

_LASTING = frozenset({"xfs", "ext4"})
_MOST_BYTES = 128
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)


class _Handle(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint), ("kind", ctypes.c_int), ("bytes", ctypes.c_ubyte * _MOST_BYTES))


def are_lasting(folder: Path) -> bool:
    """Whether a handle of the file system of `folder` always means the same inode, and never another one."""
    mount = mount_of(folder)
    return mount is not None and mount.filesystem in _LASTING


def handle_of(path: bytes) -> bytes:
    """The handle of the inode with this name (of a symlink itself, not its target), as text: `1.0220ea0057221af8`.

    Raises OSError.
    """
    handle, mount = _Handle(size=_MOST_BYTES), ctypes.c_int()
    if _libc.name_to_handle_at(_AT_FDCWD, path, ctypes.byref(handle), ctypes.byref(mount), 0) != 0:
        raise _error()
    return b"%d.%s" % (handle.kind, bytes(handle.bytes[: handle.size]).hex().encode())


@contextmanager
def opened(handle: bytes, beside: int) -> Iterator[int]:
    """A descriptor for the inode of a handle; nothing can be read from it. `beside`: one on the same file system.

    Raises OSError: ESTALE if the inode is gone, EPERM without the right to do this, EINVAL if it is not a handle.
    """
    kind, _, digits = handle.partition(b".")
    try:
        body = bytes.fromhex(digits.decode("ascii"))
        wanted = _Handle(len(body), int(kind), (ctypes.c_ubyte * _MOST_BYTES)(*body))
    except (ValueError, IndexError):
        raise OSError(errno.EINVAL, f"not a file handle: {handle[:80]!r}") from None
    descriptor = _libc.open_by_handle_at(beside, ctypes.byref(wanted), os.O_PATH | os.O_CLOEXEC)
    if descriptor < 0:
        raise _error()
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
