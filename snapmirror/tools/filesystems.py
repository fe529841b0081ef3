"""The file systems of the image: made, recognised, checked, trimmed, flushed.

Programs: mkfs.xfs, xfs_logprint, xfs_repair, xfs_spaceman; mkfs.ext4, dumpe2fs, e2fsck; blkid, fstrim.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from pathlib import Path

from msgspec import Struct

from snapmirror import files
from snapmirror.errors import StorageError, StuckError
from snapmirror.process import Completed, ProgramFailed, run
from snapmirror.tools.mount import mount_of
from snapmirror.tools.undo import KERNEL_SECONDS, wait_until

_GIB = 1 << 30
_E2FSCK = "copy the image before you repair it with e2fsck"
_libc = ctypes.CDLL(None, use_errno=True)


class Counters(Struct, frozen=True):
    """Bytes that a block device has moved since it exists."""

    read: int
    written: int


def make_xfs(device: Path, uuid: str) -> None:
    """An XFS with reflinks on an empty, sparse device."""
    features = ",".join(
        (
            "reflink=1",  # large files with few changes share their blocks between snapshots
            "rmapbt=0",  # a reverse map costs writes with every block; it only serves online repair
            f"uuid={uuid}",
        )
    )
    # -K: no discard, the file is empty already. -f: init makes it anew after a self-test. -q: quiet.
    _make(["mkfs.xfs", "-q", "-f", "-K", "-m", features, device], device)


def make_ext4(device: Path, uuid: str, size: int) -> None:
    """An ext4 on an empty, sparse device."""
    extended = ",".join(
        (
            "nodiscard",  # the file is empty already
            "lazy_itable_init=1",  # 2.4 GB of empty inode tables for 150 GB: checksums mark the unused ones,
            "lazy_journal_init=1",  # and an empty file holds no old journal. Both stay unwritten, the image small
        )
    )
    argv: list[str | Path] = ["mkfs.ext4", "-q", "-F", "-m", "0", "-U", uuid, "-E", extended]  # -m: none for root
    if size >= 32 * _GIB:
        argv += ["-J", "size=256"]  # instead of 1024 MB, which one writer would fill completely over time
    _make([*argv, device], device)


def _make(argv: list[str | Path], device: Path) -> None:
    try:
        run(argv)
    except ProgramFailed as failed:
        raise StorageError(f"no file system can be made on {device}: {failed.completed.complaint}") from failed


def identity(device: Path) -> tuple[str, str]:
    """Type and UUID of the file system on a device, read from it, not from a cache. Empty if there is none."""
    values = {}
    for line in run(["blkid", "--probe", "--output", "export", device], ok=(0, 2)).text.splitlines():
        name, _, value = line.partition("=")
        values[name] = value
    return values.get("TYPE", ""), values.get("UUID", "")


def xfs_is_clean(device: Path) -> bool:
    """Whether the XFS was unmounted properly: its log holds nothing to replay."""
    try:
        text = run(["xfs_logprint", "-t", device]).text  # -t: only the state; takes milliseconds
    except ProgramFailed as failed:
        raise StorageError(f"the log of the XFS on {device} cannot be read: {failed.completed.complaint}") from failed
    state = re.search(r"state: <(\w+)>", text)
    if state is None:
        raise StorageError(f"the log of the XFS on {device} cannot be read: xfs_logprint does not show its state")
    return state[1] == "CLEAN"


def check_xfs(device: Path) -> None:
    """Check all metadata of an unmounted, clean XFS, and change nothing. Raises StorageError when damaged."""
    _let_go(device)
    completed = run(["xfs_repair", "-n", device], ok=range(256))
    if completed.exit_code != 0:
        raise _damaged(device, completed, hint="copy the image before you repair it with xfs_repair")


def ext4_is_clean(device: Path) -> bool:
    """Whether the journal of the ext4 holds nothing to replay."""
    completed = run(["dumpe2fs", "-h", device], ok=range(256))
    features = re.search(r"^Filesystem features: (.*)$", completed.text, re.MULTILINE)
    if completed.exit_code != 0 or features is None:
        raise _damaged(device, completed, hint=_E2FSCK)
    return "needs_recovery" not in features[1].split()


def check_ext4(device: Path, *, thoroughly: bool = False, mend: bool = True) -> None:
    """Check an unmounted, clean ext4; `mend` what is safe to mend. `thoroughly`: read all of it."""
    _let_go(device)
    force = ["-f"] if thoroughly else []
    completed = run(["e2fsck", "-p" if mend else "-n", *force, device], ok=range(256))
    if completed.exit_code not in (0, 1):  # 1: errors were corrected
        raise _damaged(device, completed, hint=_E2FSCK)


def _let_go(device: Path) -> None:
    """Wait until nobody uses a device that was just unmounted.

    A program that was started meanwhile in its own mount namespace, such as a container or an rsync of another run,
    keeps a copy of the mount until it ends. Raises StuckError.
    """
    if not wait_until(lambda: is_free(device), KERNEL_SECONDS):
        raise StuckError(
            f"{device} is still in use by another program",
            hint=f"'grep --files-with-matches {device} /proc/*/mountinfo' names who has it mounted; end them",
        )


def is_free(device: Path) -> bool:
    """Whether a device is neither mounted nor claimed exclusively."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))  # without O_CREAT: fails if it is claimed
    except OSError as error:
        return error.errno != errno.EBUSY
    return True


def trim(target: Path) -> int:
    """Discard the unused blocks of a mounted file system in the image below; return how many bytes were offered."""
    try:
        text = run(["fstrim", "--verbose", target]).text
    except ProgramFailed as failed:
        raise StorageError(f"{target} cannot be trimmed: {failed.completed.complaint}") from failed
    offered = re.search(r"\((\d+) bytes\)", text)
    return int(offered[1]) if offered else 0


def collect(target: Path) -> None:
    """Free the space of removed files now: by itself XFS frees it some moments later."""
    here = mount_of(target)
    if here is not None and here.filesystem == "xfs":
        run(["xfs_spaceman", "-c", "prealloc -s", target])  # (it has another task, but waits for this as well)


def flush(target: Path) -> None:
    """Write the file system of `target` out to its device. Raises StorageError if this or an earlier write failed."""
    descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(descriptor) != 0:  # (Python has only sync, which waits for every disk of the machine)
            raise StorageError(
                f"{target} could not be written out: {os.strerror(ctypes.get_errno())}",
                hint="is it, or the disk that holds the image, full? 'dmesg' names the failed writes",
            )
    finally:
        os.close(descriptor)


def write(path: Path, data: bytes) -> None:
    """Make a file with this content and sync it to the device; it is meant to be renamed over another one."""
    with files.anew(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path | bytes) -> None:
    """Sync the content of a file, or the names in a folder, to the device. Never through a symlink."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def counters(device_name: str) -> Counters:
    """How much a block device ("loop3") has read and written."""
    import psutil  # here: its import takes 20 ms

    counted = psutil.disk_io_counters(perdisk=True, nowrap=False)[device_name]
    return Counters(read=counted.read_bytes, written=counted.write_bytes)


def _damaged(device: Path, completed: Completed, *, hint: str) -> StorageError:
    text = (completed.stdout + b"\n" + completed.stderr).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(("Phase", "- ", "No modify", "(i.e."))]
    return StorageError(
        f"the file system on {device} is damaged: {said[-1] if said else completed.complaint}", hint=hint
    )
