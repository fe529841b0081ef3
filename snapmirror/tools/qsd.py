"""LUKS1 where the kernel has no dm-crypt: QEMU shows the decrypted image as a file. Program: qemu-storage-daemon.

The daemon outlives the command that starts it: `snapmirror mount` needs that, and a killed run must not remove the
store below its mounted file system. It is found again by its command line.

A loop device on the exported file must use buffered I/O: with direct I/O it corrupts silently (FACTS).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapmirror.errors import StorageError, StuckError
from snapmirror.process import RUN_VARIABLE, ProgramFailed, find, run
from snapmirror.tools import loop
from snapmirror.tools.luks import wrong_key
from snapmirror.tools.mount import mount_at, umount
from snapmirror.tools.undo import KERNEL_SECONDS, undone_by, wait_until

if TYPE_CHECKING:
    import psutil

log = logging.getLogger("snapmirror.qsd")

PROGRAM = "qemu-storage-daemon"
_MOUNTPOINT = re.compile(r'\bmountpoint(?:"\s*:\s*"|=)([^",]+)')


def is_installed() -> bool:
    """Whether the daemon is installed."""
    return find(PROGRAM) is not None


@contextmanager
def exported(image: Path, export: Path, key: bytes, *, read_only: bool = False) -> Iterator[Path]:
    """Export the decrypted content of the LUKS1 `image` as the file `export`, for root only."""
    with undone_by(lambda: end(export)):
        export.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        export.touch(mode=0o600)  # FUSE mounts on a file that exists
        _start(image, export, key, read_only)
        log.info("unlocked %s as %s with %s", image, export, PROGRAM)
        yield export


def end(export: Path) -> None:
    """Stop the daemon behind `export`, wait until it has written everything, and check that both are gone."""
    for daemon in daemons(export):
        if users := loop.attached_to(export):  # it would end all the same and remove the file below them
            raise StuckError(f"{export} is still attached to {users[0].device}", hint="detach that, then try again")
        daemon.terminate()  # it flushes, unmounts its export and ends
        if not wait_until(lambda daemon=daemon: _has_ended(daemon), seconds=KERNEL_SECONDS):  # type: ignore[misc]
            raise StuckError(f"{PROGRAM} (pid {daemon.pid}) does not end", hint=f"see what uses {export}")
        log.info("stopped %s (pid %d)", PROGRAM, daemon.pid)
    while mount_at(export):  # left by a daemon that was killed
        umount(export)
    export.unlink(missing_ok=True)
    with suppress(OSError):
        export.parent.rmdir()


def daemons(export: Path) -> list[psutil.Process]:
    """The processes that export this file: none, or one."""
    if not export.parent.exists():
        return []
    import psutil  # here: its import takes 20 ms, and most stores never need it

    mark = json.dumps(str(export))
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if words and Path(words[0]).name == PROGRAM and any(mark in word for word in words):
                found.append(process)
    return found


class Foreign(Struct, frozen=True):
    """A daemon that somebody else has started on an image, and the files that it exports."""

    pid: int
    exports: tuple[Path, ...]


def others(image: Path, export: Path) -> list[Foreign]:
    """The daemons that have this image open and do not export it as `export`."""
    import psutil

    ours, names = json.dumps(str(export)), {str(image), str(image.resolve())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if not words or Path(words[0]).name != PROGRAM or any(ours in word for word in words):
                continue
            if names & {file.path for file in process.open_files()}:
                exports = (match[1] for word in words for match in _MOUNTPOINT.finditer(word))
                found.append(Foreign(process.pid, tuple(Path(process.cwd()) / one for one in exports)))
    return found


def _has_ended(daemon: psutil.Process) -> bool:
    """True also for a zombie: it is not our child, and process 1 may reap it late."""
    import psutil

    try:
        return not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _start(image: Path, export: Path, key: bytes, read_only: bool) -> None:
    mode = {"read-only": read_only}
    file = {"driver": "file", "node-name": "file", "filename": str(image), "discard": "unmap", **mode}
    luks = {"driver": "luks", "node-name": "luks", "file": "file", "key-secret": "key", **mode}
    fuse = {"type": "fuse", "id": "export", "node-name": "luks", "mountpoint": str(export)}
    argv = [PROGRAM, "--daemonize", "--object", "secret,id=key,file=/proc/self/fd/0"]  # never on a disk, never in argv
    argv += ["--blockdev", json.dumps(file), "--blockdev", json.dumps(luks)]
    argv += ["--export", json.dumps({**fuse, "writable": not read_only, "growable": False, "allow-other": "off"})]
    try:  # it must not be killed with a dead run's processes: what uses it must be undone first
        run(argv, stdin=key, env={RUN_VARIABLE: ""})
    except ProgramFailed as failed:
        complaint = failed.completed.complaint
        if "Invalid password" in complaint:
            raise wrong_key(image) from failed
        if "UTF-8" in complaint:
            raise StorageError(
                f"the key of {image} is not text, which {PROGRAM} cannot use",
                hint="only a kernel with dm-crypt opens this image; for a new one make the key with 'openssl rand'",
            ) from failed
        if not read_only:
            loop.check_writable(image)
        raise StorageError(f"{image} cannot be opened with {PROGRAM}: {complaint}") from failed
