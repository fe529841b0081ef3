"""Loop devices: attached, found by their file, detached and verified to be gone. Program: losetup.

`losetup --detach` succeeds while the device is in use and then waits for its last user, so only a second look at the
kernel's state proves it (FACTS).

Direct I/O depends on the layer below: it saves the copy in the page cache on a plain file or a share, and it corrupts
silently over FUSE, above all over QEMU's export (FACTS).
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from snapmirror.errors import StorageError, StuckError
from snapmirror.process import ProgramFailed, run
from snapmirror.tools.mount import mount_of, mounts_of, real_path
from snapmirror.tools.undo import KERNEL_SECONDS, undone_by, wait_until

log = logging.getLogger("snapmirror.loop")

# Never smaller: disks with 4 KiB sectors refuse smaller direct I/O, and a file system that was made for a sector size
# cannot be mounted on a larger one. Larger than the device's own is fine, so stock `mount --options loop` works.
SECTOR_BYTES = 4096
_BLOCK_DEVICES = Path("/sys/block")
_COLUMNS = "NAME,BACK-FILE,BACK-INO,BACK-MAJ:MIN,DIO"


class LoopDevice(Struct, frozen=True):
    """An attached loop device, as the kernel describes it."""

    device: Path
    backing_file: str
    direct_io: bool
    _inode: tuple[str, str]

    @property
    def name(self) -> str:
        """The kernel's name, as in /sys/block."""
        return self.device.name

    def users(self) -> list[str]:
        """What uses the device: mounts, and devices such as an opened LUKS mapping."""
        names = [_mapper_name(holder) for holder in self._holders()]
        return [f"the mount {mount.target}" for mount in mounts_of(self.device)] + names

    def mappings(self) -> list[str]:
        """The names of the device-mapper devices on it."""
        found = []
        for holder in self._holders():
            with suppress(OSError):
                found.append((holder / "dm/name").read_text().strip())
        return found

    def _holders(self) -> list[Path]:
        below = _BLOCK_DEVICES / self.name / "holders"
        return list(below.iterdir()) if below.is_dir() else []


def attached_to(*files: Path) -> tuple[LoopDevice, ...]:
    """The loop devices that show these files: by inode, or by path if a file cannot be reached any more."""
    inodes, paths = set(), set()
    for file in files:
        with suppress(OSError):
            status = file.stat()
            inodes.add((f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}", str(status.st_ino)))
        path = str(file.resolve())
        paths |= {path, f"{path} (deleted)"}
    return tuple(device for device in _all() if device._inode in inodes or device.backing_file in paths)


def attached_below(folder: Path) -> tuple[Path, ...]:
    """The files in this folder that a loop device shows, by the kernel's own paths.

    This does not run losetup, which reads each file's inode and would wait for a server that is away.
    """
    below, found = real_path(folder), []
    for backing in _BLOCK_DEVICES.glob("loop*/loop/backing_file"):
        with suppress(OSError):  # detached at this moment
            found.append(Path(os.fsdecode(backing.read_bytes().rstrip(b"\n"))))
    return tuple(file for file in found if file.is_relative_to(below))


def _all() -> list[LoopDevice]:
    """All of this machine. Mostly there is none, and losetup is not asked: a night looks a dozen times."""
    if _BLOCK_DEVICES.is_dir() and not any(_BLOCK_DEVICES.glob("loop*/loop/backing_file")):
        return []
    text = run(["losetup", "--list", "--json", "--output", _COLUMNS]).text
    return [_parse(row) for row in json.loads(text)["loopdevices"]] if text else []


@contextmanager
def attached(file: Path, *, read_only: bool = False) -> Iterator[LoopDevice]:
    """Attach `file` to a loop device: with direct I/O where that is safe and possible, else buffered."""
    direct_io = direct_io_is_safe(file)
    with undone_by(lambda: detach_all(file)):
        argv = ["losetup", "--find", "--show", "--sector-size", str(SECTOR_BYTES), *(["--read-only"] * read_only)]
        try:
            run([*argv, f"--direct-io={'on' if direct_io else 'off'}", file])
        except ProgramFailed as failed:
            if not attached_to(file):
                check_writable(file)
                raise StorageError(
                    f"{file} cannot be attached to a loop device: {failed.completed.complaint}",
                    hint="loop devices need root and the kernel module 'loop'",
                ) from failed
        device = attached_to(file)[0]
        if device.direct_io and not direct_io:
            raise StorageError(f"{device.device} uses direct I/O, which is not safe over {file}")
        log.info("attached %s as %s (%s I/O)", file, device.device, "direct" if device.direct_io else "buffered")
        yield device


def check_writable(file: Path) -> None:
    """Raises StorageError for a file that not even root can write."""
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise StorageError(
            f"{file} cannot be written, not even by root: {error.strerror}",
            hint=f"if it is immutable ('lsattr {file}' shows an i): chattr -i {file}; or is its file system read-only?",
        ) from error


def direct_io_is_safe(file: Path) -> bool:
    """False for a file on any FUSE file system."""
    below = mount_of(file)
    return below is None or not below.filesystem.startswith("fuse")


def detach_all(file: Path) -> None:
    """Detach every loop device that shows this file, and wait until the kernel confirms it."""
    for device in attached_to(file):
        users = device.users()
        if users:  # detaching now would only mark the device to be detached some time later
            raise StuckError(f"{device.device} is still in use by {', '.join(users)}", hint="end that, then try again")
        with suppress(ProgramFailed):  # it may be gone already; the kernel's state below decides
            run(["losetup", "--detach", device.device])
        # udev may open it once more, which takes long on a busy machine
        if not wait_until(lambda gone=device: gone not in attached_to(file), KERNEL_SECONDS):  # type: ignore[misc]
            raise StuckError(
                f"{device.device} is still attached to {file}",
                hint="a process still has the device open: 'fuser --verbose' names it",
            )
        log.info("detached %s", device.device)


def _parse(row: dict[str, object]) -> LoopDevice:
    return LoopDevice(
        device=Path(str(row["name"])),
        backing_file=str(row["back-file"]),
        direct_io=bool(row["dio"]),
        # null for a file that cannot be reached any more: its FUSE daemon died
        _inode=(str(row["back-maj:min"]).strip(), str(row["back-ino"])),
    )


def _mapper_name(holder: Path) -> str:
    with suppress(OSError):
        return f"the mapping {(holder / 'dm/name').read_text().strip()}"
    return f"the device {holder.name}"
