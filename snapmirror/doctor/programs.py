"""The doctor's checks of programs and rights: is everything that this configuration needs installed, and new enough?

Runs `rsync --version`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from snapmirror.check import Check, fail, failed, ok, warn
from snapmirror.config import Config
from snapmirror.errors import ExitCode, StorageError, UsageError
from snapmirror.process import ProgramFailed, find, run
from snapmirror.storage import encryption
from snapmirror.tools import cifs, zpool
from snapmirror.tools.rsync import refuse_aliases

Version = tuple[int, ...]

OLDEST_RSYNC: Version = (3, 2, 3)
# 3.4.3 and before: holes that a hostile server can use against the pulling client, fixed in 3.4.4 and 3.5.0
SOUND_RSYNC: Version = (3, 4, 4)
_BROKEN_LINK_DEST: Version = (3, 4, 3)


def examine(config: Config) -> Iterator[Check]:
    """Every program this configuration needs."""
    yield from _rsync()
    wanted: dict[str, str] = {}
    if any(mirror.source.kind == "ssh" for mirror in config.mirrors):
        wanted["ssh"] = "openssh-client"
    image = config.image
    if config.zfs is not None:
        wanted |= {"zpool": "zfsutils-linux", "zfs": "zfsutils-linux", "mount": "mount", "umount": "mount"}
    if image is not None:
        wanted |= {"losetup": "mount", "mount": "mount", "umount": "mount", "fstrim": "util-linux"}
        wanted |= {"blkid": "util-linux"}
        if image.filesystem == "zfs":
            del wanted["fstrim"]
        elif image.filesystem == "xfs":
            wanted |= {"mkfs.xfs": "xfsprogs", "xfs_repair": "xfsprogs", "xfs_spaceman": "xfsprogs"}
        else:
            wanted |= {"mke2fs": "e2fsprogs", "dumpe2fs": "e2fsprogs", "e2fsck": "e2fsprogs"}
        if image.encryption != "none":
            wanted["cryptsetup"] = "cryptsetup-bin"
    if config.share is not None or (config.image_copy and isinstance(config.image_copy.destination, str)):
        wanted[cifs.PROGRAM] = "cifs-utils"
    if config.export is not None:
        wanted |= {"smbd": "samba", "testparm": "samba-common-bin", "pdbedit": "samba", "useradd": "passwd"}
    missing = {program: package for program, package in wanted.items() if find(program) is None}
    for program, package in missing.items():
        yield fail("programs", f"{program} is not installed", f"apt-get install {package}", ExitCode.USAGE)
    if wanted and not missing:
        yield ok("programs", f"{', '.join(wanted)} are installed" if len(wanted) > 1 else "ssh is installed")
    if config.zfs is not None and not missing:
        try:
            zpool.need_module()
            yield ok("zfs", "the kernel has ZFS")
        except StorageError as error:
            yield failed("zfs", error)
    if image is None:
        return
    try:
        how = encryption.choose(image.encryption)
        yield ok("encryption", "none" if how == "none" else f"{image.encryption} through {how}")
    except StorageError as error:
        yield failed("encryption", error)
    if os.geteuid() != 0:
        yield fail("rights", "a store in an image needs root", "run as root, or with sudo", ExitCode.STORAGE)


def rights(config: Config) -> Iterator[Check]:
    """Attributes that an ordinary user cannot keep."""
    if os.geteuid() == 0 or not config.is_plain:
        return
    plain = [mirror.name for mirror in config.mirrors if not mirror.fake_super]
    if plain:
        yield warn(
            "rights",
            f"without root the owners and devices of {', '.join(plain)} cannot be kept",
            "run as root, or set fake_super = true to keep them in extended attributes",
        )


def _rsync() -> Iterator[Check]:
    if find("rsync") is None:
        yield fail("rsync", "rsync is not installed", "apt-get install rsync", ExitCode.USAGE)
        return
    try:
        text = run(["rsync", "--version"], timeout=20).text
    except ProgramFailed as failure:
        yield fail("rsync", f"rsync does not run: {failure.completed.complaint}", "reinstall rsync", ExitCode.USAGE)
        return
    version = rsync_version(text)
    shown = ".".join(map(str, version)) or "of an unknown version"
    if not version:
        yield warn("rsync", "the version of rsync is not known", f"install rsync {_dotted(SOUND_RSYNC)} or newer")
    elif version < OLDEST_RSYNC:
        yield fail("rsync", f"rsync {shown} is too old", f"install {_dotted(OLDEST_RSYNC)} or newer", ExitCode.USAGE)
    elif version < SOUND_RSYNC:
        broken = ", and 3.4.3 breaks hard links to the last snapshot" if version == _BROKEN_LINK_DEST else ""
        yield warn(
            "rsync",
            f"rsync {shown} has known holes that a hostile server can use against this machine{broken}",
            f"install {_dotted(SOUND_RSYNC)} or newer, or your distribution's security update of it",
        )
    else:
        yield ok("rsync", f"rsync {shown}")
    try:
        refuse_aliases()
    except UsageError as error:
        yield failed("rsync", error)
    lacking = [name for name in ("ACLs", "xattrs", "hardlinks") if f"no {name}" in text]
    if lacking:
        yield warn("rsync", f"this rsync was built without {', '.join(lacking)}", "install your distribution's rsync")


def rsync_version(text: str) -> Version:
    """(3, 4, 1) of "rsync  version 3.4.1  protocol version 32"; empty if there is none."""
    found = re.search(r"rsync\s+version\s+v?(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else ()


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
