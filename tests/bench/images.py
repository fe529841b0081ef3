"""Disks for the benchmark: image files with a filesystem, attached, throttled, mounted, counted, and all undone.

Programs: mkfs.xfs, mkfs.ext4, losetup, mount, umount, and for slow disks qemu-storage-daemon.

Each state is a context manager that undoes itself and then checks that it is gone. A plain image file is attached
with direct I/O, so that the page cache of the machine below does not answer in the disk's place; a throttled one
is attached buffered, always: QEMU's FUSE export corrupts silently under a loop device with direct I/O.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

_DEADLINE = 20.0
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878
_libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """The benchmark cannot go on; the message says why."""


def command(*argv: str | Path) -> str:
    """Run a program that only sets the scene; its stdout."""
    if shutil.which(str(argv[0])) is None:
        raise BenchError(f"the program {argv[0]} is not installed")
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(map(str, argv))} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


def make_image(path: Path, size: int, filesystem: str, inodes: int) -> None:
    """A sparse file with a fresh filesystem. Nothing is left to be initialised later, behind a measurement."""
    with path.open("wb") as file:
        file.truncate(size)
    if filesystem == "xfs":
        command("mkfs.xfs", "-q", "-f", "-m", "reflink=1", path)
    elif filesystem == "ext4":
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        command("mkfs.ext4", "-q", "-F", "-E", lazy, "-N", str(inodes), path)
    else:
        raise BenchError(f"the filesystem {filesystem} is not one of xfs, ext4")


@contextmanager
def attached(image: Path, *, direct: bool) -> Iterator[Path]:
    """A loop device on the file."""
    flag = "on" if direct else "off"
    device = Path(command("losetup", "--find", "--show", f"--direct-io={flag}", image))
    try:
        if direct and (_sys(device) / "loop/dio").read_text().strip() != "1":
            raise BenchError(f"{device} on {image} does not do direct I/O; choose another --work folder")
        yield device
    finally:
        command("losetup", "--detach", device)
        _wait(lambda: _backing(device) != str(image), f"{device} is still attached to {image}")


@contextmanager
def throttled(image: Path, iops: int) -> Iterator[Path]:
    """The same image as a file that answers at most `iops` requests a second (exported over itself by FUSE)."""
    if shutil.which("qemu-storage-daemon") is None:
        raise BenchError("the program qemu-storage-daemon is not installed: apt-get install qemu-system-common")
    export = image.with_suffix(".slow")
    export.touch()
    daemon = subprocess.Popen(
        [
            "qemu-storage-daemon", "--pidfile", export.with_suffix(".pid"),
            "--object", json.dumps({"qom-type": "throttle-group", "id": "limit", "limits": {"iops-total": iops}}),
            "--blockdev", f"driver=file,node-name=file,filename={image},discard=unmap",
            "--blockdev", "driver=throttle,node-name=slow,throttle-group=limit,file=file",
            "--export", f"type=fuse,id=export,node-name=slow,mountpoint={export},writable=on",
        ],
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the benchmark: the disk must outlive the filesystem on it
    )  # fmt: skip
    try:
        _wait(lambda: _is_mounted(export) or daemon.poll() is not None, f"no FUSE export appeared at {export}")
        if daemon.poll() is not None:
            raise BenchError(f"qemu-storage-daemon ended with {daemon.returncode}")
        yield export
    finally:
        daemon.terminate()
        try:
            daemon.wait(_DEADLINE)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        _wait(partial(_is_unmounted, export), f"the FUSE export {export} is still there")
        export.unlink()


@contextmanager
def mounted(device: Path, folder: Path, options: str) -> Iterator[Path]:
    """The filesystem on the device, at a new folder."""
    folder.mkdir()
    try:
        command("mount", "-o", options, device, folder)
        try:
            yield folder
        finally:
            _unmount(folder)
    finally:
        folder.rmdir()


@dataclass(frozen=True)
class Disk:
    """A mounted image."""

    device: Path
    folder: Path

    def counters(self) -> tuple[int, int]:
        """Bytes read and written so far, as the block device counts them."""
        fields = (_sys(self.device) / "stat").read_text().split()
        return int(fields[2]) * 512, int(fields[6]) * 512

    def flush(self) -> None:
        """What `sync -f` does."""
        with self._descriptor() as descriptor:
            if _libc.syncfs(descriptor) != 0:
                raise BenchError(f"syncfs of {self.folder}: {os.strerror(ctypes.get_errno())}")

    def settle(self) -> None:
        """Freeze and thaw, which writes the journal's contents to their places.

        After a mere sync they would trickle out later: uncounted, and into the time of whoever runs next. Signals
        wait: a filesystem that is unmounted while it is frozen stays alive, and nothing names it any more.
        """
        with self._descriptor() as descriptor:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
            try:
                fcntl.ioctl(descriptor, _FIFREEZE, 0)
                fcntl.ioctl(descriptor, _FITHAW, 0)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @contextmanager
    def _descriptor(self) -> Iterator[int]:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def disk(image: Path, folder: Path, *, options: str, slow_iops: int | None = None) -> Iterator[Disk]:
    """The image attached and mounted: direct and fast, or throttled and buffered."""
    if slow_iops is None:
        with attached(image, direct=True) as device, mounted(device, folder, options):
            yield Disk(device, folder)
    else:
        with (
            throttled(image, slow_iops) as export,
            attached(export, direct=False) as device,
            mounted(device, folder, options),
        ):
            yield Disk(device, folder)


def drop_caches() -> None:
    """Write back everything and forget it: pages, directory entries, inodes."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def leftovers(folder: Path) -> list[str]:
    """What is still mounted or attached below the folder, innermost first; empty is what it should be."""
    below = str(folder) + "/"
    mounts = [point for point in _mount_points() if point.startswith(below)]
    loops = [
        f"/dev/{block.name}"
        for block in sorted(Path("/sys/block").glob("loop*"))
        if _backing(Path("/dev", block.name)).startswith(below)
    ]
    return sorted(mounts, key=len, reverse=True) + loops


def release_leftovers(folder: Path) -> None:
    """Undo what a killed benchmark left behind."""
    loops = [item for item in leftovers(folder) if item.startswith("/dev/")]
    slow = [item for item in leftovers(folder) if item.endswith(".slow")]
    for item in leftovers(folder):
        if item not in loops and item not in slow:
            _unmount(Path(item))
    for item in loops:
        command("losetup", "--detach", item)
    for item in slow:
        pid = int(Path(item).with_suffix(".pid").read_text())
        if _serves(pid, item):
            os.kill(pid, signal.SIGTERM)
        _wait(lambda: not _serves(pid, item) and _is_unmounted(Path(item)), f"{item} is still exported")  # noqa: B023


def _unmount(folder: Path) -> None:
    deadline = time.monotonic() + _DEADLINE
    while True:
        try:
            command("umount", folder)
            break
        except BenchError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    if _is_mounted(folder):
        raise BenchError(f"{folder} is still mounted")


def _wait(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + _DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(complaint)
        time.sleep(0.02)


def _serves(pid: int, export: str) -> bool:
    with suppress(OSError):
        return export.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _sys(device: Path) -> Path:
    return Path("/sys/block") / device.name


def _backing(device: Path) -> str:
    with suppress(OSError):
        return (_sys(device) / "loop/backing_file").read_text().rstrip("\n")
    return ""


def _mount_points() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4].replace("\\040", " ") for line in lines]


def _is_mounted(path: Path) -> bool:
    return str(path) in _mount_points()


def _is_unmounted(path: Path) -> bool:
    return not _is_mounted(path)
