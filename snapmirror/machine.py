"""Which machine this is, since which boot, and who its users are. Runs no program."""

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
# An NFS server keeps the locks of all its clients; other shared file systems may keep them on each machine.
_SHARED = ("9p", "virtiofs", "cifs", "smb3", "ceph", "afs", "fuse", "glusterfs", "lustre")


def identity() -> str:
    """Distinguishes this machine from every other one; for root also from a clone of it."""
    digest = hashlib.sha256()
    for file in _MACHINE:
        with suppress(OSError):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def boot() -> str:
    """Distinguishes this boot of the machine from earlier ones."""
    return _BOOT.read_text().strip()


def user(uid: int) -> str:
    """A user by name, or by number if there is no name."""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"user {uid}"


def login(uid: int) -> str:
    """A user in the form that `chown` and `find` take."""
    return user(uid).removeprefix("user ")


def who() -> str:
    """The person behind this run, as far as this machine knows."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


@cache
def sees_all_locks(device: int) -> bool:
    """Whether a lock on this file system (`st_dev`) also excludes other machines, if they can reach it at all."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in _MOUNTINFO.read_bytes().splitlines():
        left, _, right = line.decode(errors="replace").partition(" - ")
        if left.split(" ")[2] == number:
            filesystem, _, options = right.split(" ", 2)
            local = {"nolock", "local_lock=flock", "local_lock=all"} & set(options.split(","))
            return not filesystem.startswith(_SHARED) and not (filesystem.startswith("nfs") and local)
    return True
