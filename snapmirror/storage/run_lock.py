"""The lock of runs: one run per store at a time. Runs no program, but ends those that a killed run has left running.

It is a flock on a small file: the kernel releases it when its owner dies, however that happens, so there are no stale
locks. The file names the owner, for the message to a second run, and for the next run, which must end what a killed
owner left running before it accesses the store.

A store that is a plain folder has the file inside, so that there is one lock for all configurations, names, mounts,
containers and users of that folder. (An image and a pool have an additional lock of their own: see `image_lock` and
`pool`.) A machine that accesses the folder over a network without locks leaves its name in the file: as long as it is
there, no other machine can know whether that one is alive.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from msgspec import Struct

from snapmirror import folder, lockfile, machine, process, state_folder
from snapmirror.config import Config
from snapmirror.errors import WAY_OUT, LockedError, StorageError, StoreMissing, StuckError
from snapmirror.model import NOTICE
from snapmirror.state_folder import state_file
from snapmirror.storage import locks
from snapmirror.storage.locks import Rank, Refusal

log = logging.getLogger("snapmirror.lock")
_LAST_RUN_SECONDS = 120  # for a stuck run to end: the client retries every few seconds until its server is back
_POLL_SECONDS = 0.5
_TEXT_BYTES = 1024
NAME = ".snapmirror.lock"
"""The name of the lock file in a store that is a plain folder."""


@contextmanager
def run_lock(config: Config, *, reading: bool = False, making: bool = False, wait: float = 0) -> Iterator[None]:
    """Hold the store's lock. Raises LockedError, naming the owner, when a live run holds it.

    `reading`: the store is not written to, and may be read-only or full. `making`: it need not exist yet. `wait`:
    seconds to wait for the lock.
    """
    state_folder.make(config)
    try:
        descriptor = _open(config, reading=reading)
    except StoreMissing:
        if not making:
            raise
        descriptor = None
    if descriptor is None:  # nobody can write there, or the folder is missing
        yield
        return
    with (
        os.fdopen(descriptor, "r") as file,
        locks.held(Rank.RUN, lambda: _attempt(file, config, wait), pause=_POLL_SECONDS),
    ):
        _refuse_other_machine(file, config)
        _end_leftovers(_text(file))
        try:
            _write(descriptor, _owner(config), reading=reading)
            yield
        finally:
            with suppress(OSError):  # a failing disk is reported already; the next run sees our end
                os.pwrite(descriptor, b" " * _TEXT_BYTES, 0)


def _open(config: Config, *, reading: bool) -> int | None:
    """Open the lock file, or make it. None if it is missing, and a read-only file system lets nobody make it."""
    path = lock_file(config)
    try:
        return _opened(path, os.O_RDWR)
    except OSError as error:
        if error.errno == errno.EROFS and reading:
            with suppress(FileNotFoundError):
                return _opened(path, os.O_RDONLY)
            return None
        if config.is_plain:
            folder.check_writable(path.parent, [mirror.name for mirror in config.mirrors])  # its error names the owner
            hint = "a lock is a file of its owner's; if it is anything else, remove it"
        else:
            hint = "set state_dir in [store]"
        raise StorageError(f"the lock file {path} cannot be made: {error.strerror}", hint=hint) from error


def _opened(path: Path, access: int) -> int:
    flags = access | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        if access == os.O_RDONLY:
            raise
        descriptor = os.open(path, flags | os.O_CREAT, 0o600)
        above = path.parent.stat()
        if os.geteuid() == 0 and above.st_uid != 0:  # root reads a user's store; the user's nights need this file
            os.fchown(descriptor, above.st_uid, above.st_gid)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file")
    if access != os.O_RDONLY:
        lockfile.narrow(descriptor, path)
    return descriptor


def _owner(config: Config) -> dict[str, object]:
    return {
        "pid": os.getpid(), "since": time.time(), "run": os.environ.get(process.RUN_VARIABLE, ""),
        "host": os.uname().nodename, "machine": machine.identity(), "user": os.geteuid(),
        "state": hashlib.sha256(os.fsencode(config.store.state_dir)).hexdigest()[:16],
    }  # fmt: skip


def _attempt(file: TextIO, config: Config, wait: float) -> Refusal | None:
    """Waits for a live owner if requested (`wait`, in seconds); for a stuck one always: its server may be back, and it
    may be about to end."""
    if lockfile.take(file, fcntl.LOCK_EX):
        return None
    owner = _owner_in(_text(file))
    if stuck := owner.get("stuck"):
        return Refusal(
            lambda: StuckError(f"the last run has not ended: {stuck}", hint=WAY_OUT),
            _LAST_RUN_SECONDS,
            f"the last run has not ended yet, it has {_LAST_RUN_SECONDS} seconds to do so: {stuck}",
            NOTICE,
        )
    return Refusal(lambda: _locked(file, owner, config), wait, level=NOTICE)


def _locked(file: TextIO, owner: dict[str, Any], config: Config) -> LockedError:
    return LockedError(
        _describe(owner, lockfile.holders(file.fileno())),
        hint="wait for it, or stop it",
        elsewhere=owner.get("state") not in (None, _owner(config)["state"]),
    )


def _refuse_other_machine(file: TextIO, config: Config) -> None:
    owner = _owner_in(_text(file))
    there = owner.get("machine")
    if there in (None, machine.identity()) or machine.sees_all_locks(os.fstat(file.fileno()).st_dev):
        return
    who = "it does not say which"
    with suppress(ValueError, KeyError, TypeError, OverflowError, OSError):
        who = _named(owner)
    raise LockedError(
        f"another machine's run holds the store: {who}",
        hint=f"wait for it; if it has died there, remove {lock_file(config)}",
        elsewhere=True,
    )


def _text(file: TextIO) -> str:
    file.seek(0)
    return file.read()


def _write(descriptor: int, owner: dict[str, object], *, reading: bool) -> None:
    """Without the owner's name nobody could end what a killed run leaves running: so a full disk ends the run here.

    The text is as long as the last one, so it needs space only the first time.
    """
    text = json.dumps(owner).encode().ljust(_TEXT_BYTES)
    try:
        if os.pwrite(descriptor, text, 0) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        if reading:
            return
        raise StorageError(
            f"the lock file cannot be written: {error.strerror}", hint="make room where it lies"
        ) from error


def lock_file(config: Config) -> Path:
    """The lock file of this store: inside it if it is a plain folder, else in the state folder.

    Raises StorageError if the folder cannot be accessed, StoreMissing if it is missing.
    """
    return folder.found(config.store.path) / NAME if config.is_plain else state_file(config, ".lock")


class Owner(Struct, frozen=True):
    """The owner of a lock: since when (seconds since 1970), and why it is stuck, if it is."""

    since: float | None
    stuck: str | None


def owner_of(config: Config) -> Owner | None:
    """The live run that holds the store, or None. Takes no lock: a lock taken for this could make a night fail."""
    owner = _live_owner(config)
    if owner is None:
        return None
    since, stuck = owner.get("since"), owner.get("stuck")
    return Owner(since if isinstance(since, float) else None, stuck if isinstance(stuck, str) else None)


def refusal(config: Config) -> LockedError | None:
    """The error that `run_lock` would raise now because of a live run; None if there is none. Takes no lock either."""
    owner = _live_owner(config)
    if not owner:
        return None
    return LockedError(_describe(owner, f"(pid {owner.get('pid')})"), hint="wait for it, or stop it")


def _live_owner(config: Config) -> dict[str, Any] | None:
    try:
        with os.fdopen(_opened(lock_file(config), os.O_RDONLY)) as file:
            owner = _owner_in(file.read())
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except (OSError, StorageError):
        return None
    is_here = owner.get("machine") in (None, machine.identity())
    if is_here and not any(words[1] == "FLOCK" and words[4] == str(owner.get("pid")) for words in locks):
        return None  # its owner died, or has ended
    return owner


def mark_stuck(config: Config, pid: int, message: str) -> None:
    """Note, for others that ask for the lock while process `pid` holds it, that this process is stuck."""
    with suppress(OSError, StorageError), lock_file(config).open("r+") as file:
        owner = _owner_in(file.read())
        if owner.get("pid") == pid:
            file.seek(0)
            file.write(json.dumps({**owner, "stuck": message}).ljust(_TEXT_BYTES))


def _owner_in(text: str) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        owner = json.loads(text)
        return owner if isinstance(owner, dict) else {}
    return {}


def _end_leftovers(text: str) -> None:
    """The lock is ours but the file still names an owner, which died. End its children, which may still be writing."""
    owner = _owner_in(text)
    run, pid = owner.get("run"), owner.get("pid")
    if run and isinstance(run, str) and run != os.environ.get(process.RUN_VARIABLE):
        ended = process.kill_leftovers(run)
        log.info("the last run (pid %s) died; took over its lock, ended %d of its programs", pid, ended)


def _describe(owner: dict[str, Any], holders: str) -> str:
    """The owner of the lock for people: as the file says, if that process does hold it; else as the kernel says."""
    if f"(pid {owner.get('pid')})" in holders or "(pid" not in holders:
        with suppress(ValueError, KeyError, TypeError, OverflowError, OSError):
            return f"another run holds the store: {_named(owner)}"
    what = "another run holds the store: " if "snapmirror" in holders else "the store is held by "
    return what + holders


def _named(owner: dict[str, Any]) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["since"]))
    of = f" of {machine.user(int(owner['user']))}" if owner.get("user", os.geteuid()) != os.geteuid() else ""
    on = f" on {owner['host']}" if owner.get("machine") not in (None, machine.identity()) else ""
    return f"pid {owner['pid']}{of}{on}, since {since}"
