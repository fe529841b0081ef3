"""Confine a program to a few folders that it may change: the rest of the machine is read-only for it.

A program that talks with a possibly hostile server gets a mount namespace of its own: whatever path the server leads it
to, through a symlink or by a fault of the program, sealed snapshots and the files of this machine are read-only there.
It takes 1 ms. It needs root and Linux 5.12; without them there is no such second wall.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Sequence

_libc = ctypes.CDLL(None, use_errno=True)

_CLONE_NEWNS = 0x20000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_SETATTR = 442  # the same number on every architecture
_MOUNT_ATTR_RDONLY = 1
_MNT_DETACH = 2
_ESCAPED = re.compile(rb"\\([0-7]{3})")


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def confine(writable: Sequence[bytes], argv: Sequence[bytes]) -> None:
    """Make the machine read-only for this process and its children, except these folders. `argv` is its program's.

    Folders with the same parent share one mount, so that files can be moved between them; all else that is now in the
    parent is read-only. (Between two mounts rsync would copy each file, and its holes.)

    Call it in a child before its program starts. It returns without an effect where the machine cannot do this; it
    raises OSError if it stopped half-way: then the program must not start.
    """
    if _libc.unshare(_CLONE_NEWNS) != 0:
        return
    foreign = _foreign(argv)
    writable, beside = _mounts(writable)
    # what is unmounted outside is unmounted here as well; what is mounted here is not seen outside
    if not _mount(None, b"/", _MS_REC | _MS_SLAVE):
        return
    for place in foreign:
        _libc.umount2(place, _MNT_DETACH)
    if not all(_mount(one, one, _MS_BIND) for one in (*writable, *beside)):
        return
    if not _set_read_only(b"/", _AT_RECURSIVE, on=True):
        return
    for folder in writable:
        if not _set_read_only(folder, 0, on=False):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), folder)


def _foreign(argv: Sequence[bytes]) -> list[bytes]:
    """The mount points of images that the program does not use: other stores.

    If mounts are not shared between namespaces, the program would keep them busy when they are unmounted outside.
    """
    words = b"\n".join(argv)
    folders = [word.rstrip(b"/") + b"/" for word in argv if word.startswith(b"/")]
    places = []
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields, _, rest = line.partition(b" - ")
            place = _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), fields.split(b" ")[4])
            is_image = rest.split(b" ")[1].startswith((b"/dev/loop", b"/dev/mapper/snapmirror"))
            if is_image and place not in words and not any(place.startswith(folder) for folder in folders):
                places.append(place)
    return places[::-1]


def _mounts(folders: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The folders to mount writable for these, and the names in them to mount read-only."""
    together: dict[bytes, set[bytes]] = {}
    for folder in folders:
        above, _, name = folder.rpartition(b"/")
        together.setdefault(above or b"/", set()).add(name)
    mounts, beside = list[bytes](), list[bytes]()
    for above, names in together.items():
        if len(names) == 1:
            mounts += [above + b"/" + name for name in names]
            continue
        mounts.append(above)
        with os.scandir(above) as found:
            beside += [one.path for one in found if one.name not in names and not one.is_symlink()]
    return mounts, beside


def _mount(source: bytes | None, target: bytes, flags: int) -> bool:
    return bool(_libc.mount(source, target, None, flags, None) == 0)


def _set_read_only(path: bytes, flags: int, *, on: bool) -> bool:
    change = _MountAttributes(_MOUNT_ATTR_RDONLY if on else 0, 0 if on else _MOUNT_ATTR_RDONLY, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(change))
    return bool(_libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, path, flags, ctypes.byref(change), size) == 0)
