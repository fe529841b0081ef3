"""Mounts: made, found in /proc/self/mountinfo, ended and verified to be gone. Programs: mount, umount.

There is no lazy umount here: it returns at once while the file system stays in use, which is how images get damaged.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from snapmirror.errors import StorageError, StuckError
from snapmirror.process import ProgramFailed, run
from snapmirror.tools.undo import DEADLINE_SECONDS, undone_by, wait_until

log = logging.getLogger("snapmirror.mount")

_MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(rb"\\([0-7]{3})")


class Mount(Struct, frozen=True):
    """One line of mountinfo. `read_only` is as requested for the mount, not as an error made it; `options` are those of
    the file system."""

    target: Path
    device_number: str
    filesystem: str
    source: str
    read_only: bool
    options: tuple[str, ...] = ()


def mounts() -> tuple[Mount, ...]:
    """Every mount of this mount namespace, oldest first."""
    return tuple(_parse(line) for line in _MOUNTINFO.read_bytes().splitlines())


def mount_at(target: Path) -> Mount | None:
    """The mount on exactly this folder or file (the topmost, if there are several)."""
    found = _mounts_at(target)
    return found[-1] if found else None


def real_path(folder: Path) -> Path:
    """The real path of a folder. A mount point is returned as written and not accessed: its server may be dead, and any
    access would wait for it."""
    return folder if any(mount.target == folder for mount in mounts()) else folder.resolve()


def mount_of(file: Path) -> Mount | None:
    """The mount that this file lies on."""
    real = file.resolve()
    above = [mount for mount in mounts() if real.is_relative_to(mount.target)]
    return max(reversed(above), key=lambda mount: len(mount.target.parts), default=None)  # of equals the last is on top


def mounts_of(device: Path) -> tuple[Mount, ...]:
    """Where this block device is mounted."""
    number = device_number(device)
    return tuple(mount for mount in mounts() if mount.device_number == number)


def device_number(device: Path) -> str:
    """A block device's number as in the kernel's tables: "7:3"."""
    number = device.stat().st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


def mount(device: Path, target: Path, *, filesystem: str, options: Sequence[str]) -> None:
    """Mount a block device on a folder."""
    argv = ["mount", "--types", filesystem, "--options", ",".join(options)]
    try:
        run([*argv, "--source", device, "--target", target])
    except ProgramFailed as failed:
        raise StorageError(
            f"{device} cannot be mounted on {target}: {failed.completed.complaint}",
            hint="the kernel's log (dmesg) says why",
        ) from failed


def umount(target: Path, *, seconds: float = DEADLINE_SECONDS) -> None:
    """Unmount the topmost mount on `target`. Raises StuckError, naming its users, if it stays."""
    before, real = len(_mounts_at(target)), real_path(target)
    if not before:
        return

    def gone() -> bool:
        with suppress(ProgramFailed):  # the kernel's state below decides
            run(["umount", "--no-canonicalize", real])  # else it reads the folder, and waits for a dead server
        return len(_mounts_at(target)) < before

    if not wait_until(gone, seconds):
        raise StuckError(
            f"{target} is still mounted: it is used by {', '.join(holders(target)) or 'the kernel'}",
            hint="end what uses it, then run 'snapmirror umount'",
        )
    log.info("unmounted %s", target)


def bind(source: Path, target: Path, *, options: Sequence[str] = (), with_mounts: bool = False) -> None:
    """Bind-mount a folder that is mounted, or lies in a mount, at another place: with its options or with `options`.

    `with_mounts`: with the mounts below it; `options` are for the topmost only.
    """
    how = ",".join(["rbind" if with_mounts else "bind", *options])
    try:
        run(["mount", "--options", how, "--source", source, "--target", target])
    except ProgramFailed as failed:
        raise StorageError(f"{source} cannot be shown at {target}: {failed.completed.complaint}") from failed


@contextmanager
def mounted(device: Path, target: Path, *, filesystem: str, options: Sequence[str]) -> Iterator[Path]:
    """Mount `device` on `target`, on which nothing was mounted before."""

    def release() -> None:
        while any(m.target == target.resolve() for m in mounts_of(device)):
            umount(target)

    with undone_by(release):
        mount(device, target, filesystem=filesystem, options=options)
        log.info("mounted %s on %s (%s)", device, target, ",".join(options))
        yield target


def holders(target: Path) -> list[str]:
    """What keeps a mount busy: processes with a file, folder or program in it, and mounts below it."""
    import psutil  # here, because only a busy mount needs it and its import takes 20 ms

    folder = os.fsencode(target.resolve())
    found = [f"the mount {m.target}" for m in mounts() if folder + b"/" in os.fsencode(m.target)]
    for process in psutil.process_iter(["name"]):
        if _uses(Path("/proc") / str(process.pid), folder):
            found.append(f"{process.info['name']} (pid {process.pid})")
    return found


def _uses(process: Path, folder: bytes) -> bool:
    """Links and maps are only read, never followed: a dead server below a mount must not block this."""
    with suppress(OSError):
        for name in ("cwd", "root", "exe"):
            if _inside(os.fsencode((process / name).readlink()), folder):
                return True
        for descriptor in (process / "fd").iterdir():
            with suppress(FileNotFoundError):
                if _inside(os.fsencode(descriptor.readlink()), folder):
                    return True
        return any(_inside(b"/" + line.partition(b"/")[2], folder) for line in (process / "maps").open("rb"))
    return False


def _inside(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/")


def _mounts_at(target: Path) -> list[Mount]:
    real = real_path(target)
    return [mount for mount in mounts() if mount.target == real]


def _parse(line: bytes) -> Mount:
    left, _, right = line.partition(b" - ")
    fields, tail = left.split(b" "), right.split(b" ")
    return Mount(
        target=Path(_text(fields[4])),
        device_number=_text(fields[2]),
        filesystem=_text(tail[0]),
        source=_text(tail[1]),
        read_only=b"ro" in fields[5].split(b","),
        options=tuple(_text(option) for option in tail[2].split(b",")),
    )


def _text(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field))
