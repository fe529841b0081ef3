"""The errors: each is one sentence, a hint and a documented exit code.

Every failure that a user, a server or a disk can cause is a `SnapmirrorError`; the command line prints its
sentence and hint and exits with its code. Anything else that reaches the command line is a bug (exit 1).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path

from snapmirror import machine


class ExitCode(IntEnum):
    """The exit codes of the command line. They are an interface: scripts and schedulers read them."""

    DONE = 0
    BUG = 1
    USAGE = 2
    WARNINGS = 3
    LOCKED = 10
    STORAGE = 11
    TRANSFER = 12
    GUARD = 13
    DAMAGE = 14
    STUCK = 20
    INTERRUPTED = 130
    TERMINATED = 143


GOES_ON = "published snapshots are kept; the next run goes on here"
"""The hint of a run that was stopped."""
ACCEPT = "if that is meant, run again with --accept-changes"

WAY_OUT = (
    "bring the server of the share back, then the next run releases everything; or restart this machine: 'systemctl "
    "reboot --force --force'"
)


class SnapmirrorError(Exception):
    """A failure with a sentence for people, a hint on what to do next, and an exit code."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SnapmirrorError):
    """The command line, or something that it names, is wrong."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """The configuration is wrong. `problems` holds every problem found, one sentence each."""

    def __init__(self, message: str, *, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class LockedError(SnapmirrorError):
    """Another live run holds the store. `elsewhere`: its report is kept in another place than ours."""

    exit_code = ExitCode.LOCKED

    def __init__(self, message: str, *, hint: str = "", elsewhere: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.elsewhere = elsewhere


class StorageError(SnapmirrorError):
    """A failure below the store: share, image, key, file system or space."""

    exit_code = ExitCode.STORAGE


class TakenError(StorageError):
    """The image or the pool is in use. `is_near`: by a snapmirror of this machine, which will end by itself."""

    def __init__(self, what: str, by: str, *, hint: str = "wait for it, or stop it", is_near: bool = False) -> None:
        super().__init__(f"{what} is in use by {by}", hint=hint)
        self.is_near = is_near
        if "snapmirror" in by:
            self.exit_code = ExitCode.LOCKED


class StoreMissing(StorageError):  # noqa: N818  (a state, not a mistake)
    """The store's folder is missing."""


class NoRoomError(StorageError):
    """The store, or the disk below it, has too little room; nothing else is wrong."""


@contextmanager
def ignored() -> Iterator[None]:
    """Ignore an error in the block: what is tried there may fail. Not a signal, which ends the command."""
    try:
        yield
    except Interrupted:
        raise
    except SnapmirrorError:
        pass


class HostError(SnapmirrorError):
    """The Windows host cannot be reached, or a script failed there. Never ends a night."""

    exit_code = ExitCode.STORAGE


class TransferError(SnapmirrorError):
    """Listing or transferring the source failed; nothing was published."""

    exit_code = ExitCode.TRANSFER


class ListingError(TransferError):
    """The source's listing cannot be that of a tree."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="nothing was changed; the server is broken, or hostile")


class UnreachableError(TransferError):
    """The server or the network was away, or the connection broke: this may be over in some minutes."""


class StumbledError(TransferError):
    """rsync failed on a tree that changed while it was read: a retry may well succeed at once."""


class GuardError(SnapmirrorError):
    """A guard stopped the run before anything was changed."""

    exit_code = ExitCode.GUARD


class DamageError(SnapmirrorError):
    """Verification found that stored data differs from its record."""

    exit_code = ExitCode.DAMAGE


class ShortageError(SnapmirrorError):
    """This machine has no memory, processes or open files left for us. The storage is not at fault."""

    exit_code = ExitCode.STORAGE


_SHORT = {errno.EAGAIN, errno.EMFILE, errno.ENFILE}


def shortage(error: BaseException) -> ShortageError | None:
    """The error for a machine that has run out of something; None for any other error."""
    if _is_about_memory(error):
        what = "memory"
    elif isinstance(error, RuntimeError) and "start new thread" in str(error):  # Python has no class for it
        what = "threads"
    elif isinstance(error, OSError) and error.errno in _SHORT:
        what = f"something ({error.strerror})"
    else:
        return None
    return ShortageError(
        f"this machine has run out of {what}", hint="published snapshots are kept; give it more, then run again"
    )


def denied(error: BaseException) -> StorageError | None:
    """The error for something that this user may not do; None for any other error."""
    if isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error):
        return StorageError(
            "there is no folder in which temporary files can be written", hint="make room in /tmp, or set TMPDIR"
        )
    if not isinstance(error, PermissionError) or not isinstance(error.filename, str | bytes):
        return None
    me, name = os.geteuid(), os.fsdecode(error.filename)
    if me == 0:  # then ownership is not the reason
        hint = "is it immutable (see 'lsattr'), or forbidden by a server or by the system's access control?"
        return StorageError(f"{name!a} cannot be used, not even by root: {error.strerror}", hint=hint)
    owner = _owner_on_the_way(Path(name))
    whose = f"; {owner[0]} belongs to {machine.user(owner[1])}" if owner and owner[1] != me else ""
    return StorageError(
        f"{name!a} cannot be used by {machine.user(me)}: {error.strerror}{whose}",
        hint="run it as the owner, or with sudo",
    )


def _owner_on_the_way(path: Path) -> tuple[Path, int] | None:
    for place in (path, *path.parents):
        with suppress(OSError):
            return place, place.lstat().st_uid
    return None


def _is_about_memory(error: BaseException) -> bool:
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or "not enough memory" in text  # (zstd raises an error of its own)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, ImportError) and "failed to map segment" in text)  # of a library
        # Python's own code could not even make the error
        or (isinstance(error, SystemError) and bool(re.search("without (setting an exception|exception set)", text)))
    )


class StuckError(SnapmirrorError):
    """Something is still mounted, attached or unlocked. Outranks every other result."""

    exit_code = ExitCode.STUCK


class Interrupted(SnapmirrorError):  # noqa: N818  (a state, not a mistake)
    """SIGINT, SIGTERM or SIGHUP arrived; the command unwound. A run adds its hint."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, signal_number: int, signal_name: str) -> None:
        super().__init__(f"stopped by {signal_name}")
        self.signal_number = signal_number
        self.exit_code = ExitCode.INTERRUPTED if signal_name == "SIGINT" else ExitCode.TERMINATED


class ShareLost(Interrupted):
    """The share's server has not answered for too long; the run unwound. A storage error that comes as a signal."""

    def __init__(self, signal_number: int, share: str, seconds: int) -> None:
        super().__init__(signal_number, "")
        self.message = f"{share} has not answered for {seconds} seconds"
        self.args = (self.message,)
        self.hint = "is the Windows host running, and on the network? history is unchanged, the next try goes on"
        self.exit_code = ExitCode.STORAGE

    def stuck(self, what: StuckError) -> StuckError:
        """The same, when something on the share could not be released."""
        return StuckError(f"{self.message}, and {what.message}", hint=WAY_OUT)
