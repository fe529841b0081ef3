"""One run per store at a time.

A flock on a small file: the kernel lets go of it when its owner dies, however that happens, so there is no stale lock
to judge. The file names the owner, for the message to whoever comes second, and for the next run, which must end what
a killed owner left running before it touches the store.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from snapmirror import lockfile, process
from snapmirror.config import Config
from snapmirror.errors import WAY_OUT, LockedError, StorageError, StuckError

log = logging.getLogger("snapmirror.lock")
_LAST_RUN_SECONDS = 120  # that what was stuck may take to end: the client asks a server that is back every few seconds
_POLL_SECONDS = 0.5


@contextmanager
def run_lock(config: Config) -> Iterator[None]:
    """Hold the store's lock. Raises LockedError, naming the owner, when a live run holds it."""
    path = lock_file(config)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = lockfile.made(path)
    except OSError as error:
        raise StorageError(
            f"the lock file {path} cannot be made: {error.strerror}", hint="set state_dir in [store]"
        ) from error
    with os.fdopen(descriptor, "r+") as file:
        _take(file)
        _end_leftovers(_text(file))
        owner = {"pid": os.getpid(), "since": time.time(), "run": os.environ.get(process.RUN_VARIABLE, "")}
        try:
            _write(descriptor, owner)
            yield
        finally:
            os.ftruncate(descriptor, 0)


def _take(file: TextIO) -> None:
    """A live owner is not waited for; one that could not end is: its server may be back, and it on its way out."""
    deadline, told = time.monotonic() + _LAST_RUN_SECONDS, False
    while True:
        if lockfile.take(file, fcntl.LOCK_EX):
            return
        text = _text(file)
        stuck = _owner_in(text).get("stuck")
        if not stuck:
            raise LockedError(_describe(text, lockfile.holders(file.fileno())), hint="wait for it, or stop it")
        if time.monotonic() > deadline:
            raise StuckError(f"the last run has not ended: {stuck}", hint=WAY_OUT)
        if not told:
            log.warning("the last run has not ended yet, it has %d seconds to do so: %s", _LAST_RUN_SECONDS, stuck)
            told = True
        time.sleep(_POLL_SECONDS)


def _text(file: TextIO) -> str:
    file.seek(0)
    return file.read()


def _write(descriptor: int, owner: dict[str, object]) -> None:
    """Without it nobody could end what a killed run leaves behind: so a full disk ends the run here."""
    text = json.dumps(owner).encode()
    try:
        os.ftruncate(descriptor, 0)
        if os.pwrite(descriptor, text, 0) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise StorageError(
            f"the lock file cannot be written: {error.strerror}", hint="make room where state_dir of [store] lies"
        ) from error


def lock_file(config: Config) -> Path:
    """Where the lock of this store is: by the image where there is one, else by the folder."""
    what = str(config.image.file if config.image else config.store.path)
    return config.store.state_dir / f"{hashlib.sha256(os.fsencode(what)).hexdigest()[:16]}.lock"


@dataclass(frozen=True)
class Owner:
    """Who holds a lock: since when (seconds since 1970), and why it cannot end, if it cannot."""

    since: float | None
    stuck: str | None


def owner_of(config: Config) -> Owner | None:
    """The live run that holds the store, or None. Only looks: a lock taken to find out could turn a night away."""
    try:
        owner = _owner_in(lock_file(config).read_text())
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return None
    if not any(words[1] == "FLOCK" and words[4] == str(owner.get("pid")) for words in locks):
        return None  # its owner died, or has ended
    since, stuck = owner.get("since"), owner.get("stuck")
    return Owner(since if isinstance(since, float) else None, stuck if isinstance(stuck, str) else None)


def mark_stuck(config: Config, pid: int, message: str) -> None:
    """Whoever asks for the lock while process `pid` holds it gets to know that it cannot end."""
    with suppress(OSError), lock_file(config).open("r+") as file:
        owner = _owner_in(file.read())
        if owner.get("pid") == pid:
            file.seek(0)
            json.dump({**owner, "stuck": message}, file)


def _owner_in(text: str) -> dict[str, Any]:
    with suppress(ValueError):
        owner = json.loads(text)
        return owner if isinstance(owner, dict) else {}
    return {}


def _end_leftovers(text: str) -> None:
    """The lock is ours but still names an owner: it died. End its children, which may be writing still."""
    with suppress(ValueError, KeyError, TypeError):
        owner = json.loads(text)
        if owner["run"] and owner["run"] != os.environ.get(process.RUN_VARIABLE):
            ended = process.kill_leftovers(owner["run"])
            log.info("the last run (pid %s) died; took over its lock, ended %d of its programs", owner["pid"], ended)


def _describe(text: str, holders: str) -> str:
    """Who holds the lock: by what the file says, if that one does hold it; else by what the kernel says."""
    with suppress(ValueError, KeyError, TypeError):
        owner = json.loads(text)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["since"]))
        if f"(pid {owner['pid']})" in holders or "(pid" not in holders:
            return f"another run holds the store: pid {owner['pid']}, since {since}"
    what = "another run holds the store: " if "snapmirror" in holders else "the store is held by "
    return what + holders
