"""Lock files: made for their owner alone, and who holds one. Runs no program.

Whoever can open a file, be it for reading only, can also lock it, and keep a night away for as long as he likes. So a
lock file has mode 600, one that is wider is narrowed, and who holds a lock is named with the process id that the kernel
tells, not with what the file says.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

log = logging.getLogger("snapmirror.lock")

_PROCESSES = Path("/proc")
_OURS = re.compile(rb"(?:^|/)snapmirror$|^(?:from|import) snapmirror", re.MULTILINE)  # script, -m, -c
_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")


def opened(path: Path) -> IO[bytes]:
    """The lock file at `path`, made if it is missing, for its owner alone. Raises OSError, also for a symlink."""
    return os.fdopen(made(path), "r+b", 0)


def made(path: Path) -> int:
    """The same as a descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    narrow(descriptor, path)
    return descriptor


def narrow(descriptor: int, path: Path) -> None:
    """Take an open file away from everybody but its owner. One that is somebody else's is left as it is."""
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & 0o077:
        with suppress(OSError):  # not ours, or a file system that keeps no modes: who holds it is named all the same
            os.fchmod(descriptor, mode & ~0o077)
            log.info("%s could be opened, and so locked, by other users; it is its owner's alone now", path)


def private_folder(path: Path) -> Path:
    """A folder of ours, for its owner alone; it is made if it is missing, with mode 700. Raises OSError."""
    path.mkdir(mode=0o700, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o700)
    return path


def take(file: IO[Any], kind: int) -> bool:
    """Lock the file (fcntl.LOCK_SH or LOCK_EX) without waiting; False when somebody else's lock is in the way."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def let_go(file: IO[Any]) -> None:
    """Unlock the file, and leave it open."""
    fcntl.flock(file, fcntl.LOCK_UN)


def holders(descriptor: int) -> str:
    """Who holds a lock on this open file: "another snapmirror (pid 31727)", or "flock (pid 4711)"."""
    path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
    names = [_name(process) for process in _locking(os.fstat(descriptor), path)]
    return ", ".join(names) or "a process that cannot be seen from here"


def is_ours(process: Path) -> bool:
    """Whether a process, as its folder below /proc shows it, is a snapmirror."""
    words = _read(process / "cmdline").split(b"\0")
    is_python = words[0].rpartition(b"/")[2].startswith(b"python")
    return process.name == str(os.getpid()) or (is_python and any(map(_OURS.search, words[1:])))


def _name(process: Path) -> str:
    pid = f"(pid {process.name})"
    if is_ours(process):
        return f"another snapmirror {pid}"
    return f"{_NOT_PLAIN.sub('?', _read(process / 'comm').decode('latin-1').strip()) or 'a program'} {pid}"


def _locking(status: os.stat_result, path: str) -> Iterator[Path]:
    """Every process that has a locked handle of this file, by its folder below /proc.

    Links are read, never followed: behind one of them may be a server that is dead. The number of the file's device is
    not what stat says on every file system, so the path counts as well.
    """
    where = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    sign = re.compile(rb"^lock:.* (\S+):%d " % status.st_ino, re.MULTILINE)
    for process in sorted(_PROCESSES.glob("[1-9]*"), key=lambda folder: int(folder.name)):
        with suppress(OSError):
            for number in os.listdir(process / "fdinfo"):  # noqa: PTH208  (names are all that is wanted)
                found = sign.search(_read(process / "fdinfo" / number))
                if found and (found[1].decode() == where or _target(process / "fd" / number) == path):
                    yield process
                    break


def _target(link: Path) -> str:
    with suppress(OSError):
        return str(link.readlink())
    return ""


def _read(file: Path) -> bytes:
    with suppress(OSError):
        return file.read_bytes()
    return b""
