"""Which machine this is, in which of its lives, and who its users are. Runs no program."""

from __future__ import annotations

import getpass
import hashlib
import os
import pwd
from contextlib import suppress
from functools import cache
from pathlib import Path

_MACHINE = (Path("/etc/machine-id"), Path("/sys/class/dmi/id/product_uuid"))  # the latter differs in a cloned VM
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MOUNTINFO = Path("/proc/self/mountinfo")
# The server of NFS keeps the locks of all its clients; what else reaches other machines may keep them to each.
_SHARED = ("9p", "virtiofs", "cifs", "smb3", "ceph", "afs", "fuse", "glusterfs", "lustre")


def identity() -> str:
    """Tells this machine from every other one, a clone of it included, where root asks."""
    digest = hashlib.sha256()
    for file in _MACHINE:
        with suppress(OSError):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def boot() -> str:
    """Tells this life of the machine from those before."""
    return _BOOT.read_text().strip()


def user(uid: int) -> str:
    """A user by name, as people know him; by number, where he has none."""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"user {uid}"


def login(uid: int) -> str:
    """A user as `chown` and `find` take him."""
    return user(uid).removeprefix("user ")


def who() -> str:
    """The person behind this run, as far as this machine knows."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


@cache
def sees_all_locks(device: int) -> bool:
    """Whether a lock on this file system (`st_dev`) also keeps other machines off, if they can reach it at all."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in _MOUNTINFO.read_bytes().splitlines():
        left, _, right = line.decode(errors="replace").partition(" - ")
        if left.split(" ")[2] == number:
            filesystem, _, options = right.split(" ", 2)
            local = {"nolock", "local_lock=flock", "local_lock=all"} & set(options.split(","))
            return not filesystem.startswith(_SHARED) and not (filesystem.startswith("nfs") and local)
    return True
