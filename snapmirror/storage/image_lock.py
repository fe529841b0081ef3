"""The lock of an image: only one program at a time, of this machine or another, may open it. Runs no program.

On a local disk it is a flock on the image's record. On a share it is a byte-range lock that the server keeps and drops
with the connection, so that two machines do not open one image. Windows makes such locks mandatory, so it is on a file
of its own, far behind its end: programs that copy or read the files there do not conflict with it. That file is opened
once and not accessed otherwise: the client gives up a lock when *any* writable handle of its process on that file is
closed (measured on Linux 6.1).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from snapmirror import files, lockfile, machine
from snapmirror.errors import StorageError, TakenError
from snapmirror.interrupts import deferred
from snapmirror.model import NOTICE
from snapmirror.storage import locks
from snapmirror.storage.locks import Rank, Refusal
from snapmirror.threads import started

log = logging.getLogger("snapmirror.image")

_F_OFD_SETLK = 37  # belongs to the open file, not to the process; Python has no name for it
_BEHIND_THE_END = 1 << 40
_OWNER_BYTES = 512
_ASK_SECONDS = 2.0


@contextmanager
def here(image: Path, record: Path, patience: float = 0.0, rank: Rank = Rank.IMAGE) -> Iterator[None]:
    """Lock the image on a local disk, against all who ask for the lock. Raises TakenError when another program has it.

    `patience`: seconds to wait for another snapmirror of this machine.
    """
    with files.reading(record) as file:
        lockfile.narrow(file.fileno(), record)
        with locks.held(rank, lambda: locks.exclusive(file, str(image), patience)):
            yield


@contextmanager
def on_server(image: Path, patience: float = 0.0, rank: Rank = Rank.IMAGE) -> Iterator[None]:
    """Lock the image on a share, against all machines. Raises TakenError when another program has it.

    `patience`: seconds to wait for another snapmirror of this machine.
    """
    path = image.with_name(image.name + ".lock")
    with _opened(path) as file, ExitStack() as asking:
        descriptor = file.fileno()
        with locks.held(rank, lambda: _attempt(descriptor, image, patience, asking)):
            _write_owner(
                descriptor,
                {"host": os.uname().nodename, "since": _now(), "machine": machine.identity(), "boot": machine.boot()},
            )
            try:
                yield
            finally:
                _write_owner(descriptor, {})


def _attempt(descriptor: int, image: Path, patience: float, asking: ExitStack) -> Refusal | None:
    """Lock it, unless a live one has it. `asking` ends the thread that retries while a lost connection has the lock."""
    locked = _lock(descriptor)
    owner = _owner_in(descriptor)
    if locked and owner and owner.get("machine") != machine.identity():
        # It did not unlock: it died, or has rebooted and works while the server holds its lock from before for it.
        log.info("%s did not close %s; checking that it no longer runs", owner.get("host"), image)
        _lock(descriptor, fcntl.F_UNLCK)
        time.sleep(3 * _ASK_SECONDS)
        locked = _lock(descriptor)
        owner = _owner_in(descriptor)
    if locked:
        return None
    is_near = owner.get("machine") == machine.identity()
    if not is_near or owner.get("boot") == machine.boot():
        name = owner.get("host") or "another machine"
        hint = f"wait for it, or stop it; it has had the image since {owner.get('since') or 'some time'}"
        error = TakenError(str(image), f"snapmirror on {name}", hint=hint, is_near=is_near)
        return Refusal(lambda: error, patience if is_near else 0.0)
    # After a power cut of the VM the server keeps the lock of the dead connection until it notices.
    log.log(NOTICE, "%s is still locked by a connection from before this machine restarted; going on", image)
    asking.enter_context(_asking_on(descriptor, image))
    return None


def _lock(descriptor: int, kind: int = fcntl.F_WRLCK) -> bool:
    try:
        fcntl.fcntl(descriptor, _F_OFD_SETLK, struct.pack("hhqqi4x", kind, 0, _BEHIND_THE_END, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def _asking_on(descriptor: int, image: Path) -> Iterator[None]:
    """Take the lock as soon as the server releases the dead connection's: otherwise another machine could take it."""
    done = threading.Event()
    ours = os.dup(descriptor)  # a descriptor of its own: while the server is away, the thread outlives the rest

    def ask() -> None:
        while not done.wait(_ASK_SECONDS):
            if _lock(ours):
                log.info("%s is locked by us now", image)
                break
        os.close(ours)

    thread = None
    try:
        with deferred():  # no interruption may lose a thread that is being started
            thread = started(ask, name="lock")
        yield
    finally:
        done.set()
        if thread is None:
            os.close(ours)
        else:
            thread.join(_ASK_SECONDS)


def _write_owner(descriptor: int, owner: dict[str, str]) -> None:
    with suppress(OSError):  # only a second program reads it; a full disk must not stop us here
        os.pwrite(descriptor, json.dumps(owner).encode().ljust(_OWNER_BYTES), 0)


def _opened(path: Path) -> IO[bytes]:
    try:
        return os.fdopen(files.own(path, os.O_RDWR | os.O_CREAT), "r+b", 0)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be opened: {error.strerror}", hint="may this account write in that folder of the share?"
        ) from error


def _owner_in(descriptor: int) -> dict[str, str]:
    with suppress(OSError, ValueError, RecursionError):
        owner = json.loads(os.pread(descriptor, _OWNER_BYTES, 0))
        return owner if isinstance(owner, dict) else {}
    return {}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
