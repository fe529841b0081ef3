"""What can go wrong, as one sentence, a hint and a documented exit code.

Every failure that a user, a server or a disk can cause is a `SnapmirrorError`; the command line prints its
sentence and hint and exits with its code. Anything else that reaches the command line is a bug (exit 1).
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
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


ACCEPT = "if that is meant, run again with --accept-changes"

WAY_OUT = (
    "bring the server of the share back, then the next run releases everything; or restart this machine: 'systemctl "
    "reboot --force --force'"
)


class SnapmirrorError(Exception):
    """A failure with a sentence for people, a hint what to do next, and an exit code."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SnapmirrorError):
    """The command line or what it names is wrong."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """The configuration is wrong. `problems` holds every problem found, one sentence each."""

    def __init__(self, message: str, *, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class LockedError(SnapmirrorError):
    """Another live run holds the store. `elsewhere`: one whose report is not where ours is."""

    exit_code = ExitCode.LOCKED

    def __init__(self, message: str, *, hint: str = "", elsewhere: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.elsewhere = elsewhere


class StorageError(SnapmirrorError):
    """Share, image, key, file system or space: what lies under the store."""

    exit_code = ExitCode.STORAGE


class TakenError(StorageError):
    """Somebody has the image, or the pool. `is_near`: a snapmirror of this machine, which will end by itself."""

    def __init__(self, what: str, by: str, *, hint: str = "wait for it, or stop it", is_near: bool = False) -> None:
        super().__init__(f"{what} is in use by {by}", hint=hint)
        self.is_near = is_near
        if "snapmirror" in by:
            self.exit_code = ExitCode.LOCKED


class StoreMissing(StorageError):  # noqa: N818  (a state, not a mistake)
    """The store's folder is not there."""


class NoRoomError(StorageError):
    """The store, or the disk below it, has too little room; nothing else is wrong."""


class HostError(SnapmirrorError):
    """The Windows host cannot be asked, or what was asked of it failed. Never the end of a night."""

    exit_code = ExitCode.STORAGE


class TransferError(SnapmirrorError):
    """Listing or transferring the source failed; nothing was published."""

    exit_code = ExitCode.TRANSFER


class ListingError(TransferError):
    """The source lists what no tree can be."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="nothing was changed; the server is broken, or hostile")


class UnreachableError(TransferError):
    """The server or the network was away, or the connection broke: that may have passed in some minutes."""


class StumbledError(TransferError):
    """rsync tripped over a tree that changed while it was read: the same night may well succeed at once."""


class GuardError(SnapmirrorError):
    """A guard stopped the run before anything was changed."""

    exit_code = ExitCode.GUARD


class DamageError(SnapmirrorError):
    """Verification found that stored data differs from its record."""

    exit_code = ExitCode.DAMAGE


class ShortageError(SnapmirrorError):
    """This machine has no memory, processes or open files left for us. What is under the store is well."""

    exit_code = ExitCode.STORAGE


_SHORT = {errno.EAGAIN, errno.EMFILE, errno.ENFILE}


def shortage(error: BaseException) -> ShortageError | None:
    """The sentence for a machine that has run short of something, None for any other error."""
    if _is_about_memory(error):
        what = "memory"
    elif isinstance(error, RuntimeError) and "start new thread" in str(error):  # Python has no class for it
        what = "threads"
    elif isinstance(error, OSError) and error.errno in _SHORT:
        what = f"something ({error.strerror})"
    else:
        return None
    return ShortageError(
        f"this machine has run out of {what}", hint="what is published stays; give it more, then run again"
    )


def denied(error: BaseException) -> StorageError | None:
    """The sentence for what the user who asks may not do, None for any other error."""
    if isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error):
        return StorageError(
            "there is no folder in which temporary files can be written", hint="make room in /tmp, or set TMPDIR"
        )
    if not isinstance(error, PermissionError) or not isinstance(error.filename, str | bytes):
        return None
    me, name = os.geteuid(), os.fsdecode(error.filename)
    if me == 0:  # then it is no question of whose it is
        hint = "is it immutable ('lsattr' tells), or on a server that forbids it? the system's access control can, too"
        return StorageError(f"{name!a} cannot be used, not even by root: {error.strerror}", hint=hint)
    owner = _owner_on_the_way(Path(name))
    whose = f"; {owner[0]} belongs to {machine.user(owner[1])}" if owner and owner[1] != me else ""
    return StorageError(
        f"{name!a} cannot be used by {machine.user(me)}: {error.strerror}{whose}",
        hint="run it as the user to whom that belongs, or with sudo",
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
        or "not enough memory" in text  # (zstd's is an error of its own)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, ImportError) and "failed to map segment" in text)  # of a library
        # where Python's own code cannot even make the error
        or (isinstance(error, SystemError) and bool(re.search("without (setting an exception|exception set)", text)))
    )


class StuckError(SnapmirrorError):
    """Something is still mounted, attached or unlocked. Outranks every other result."""

    exit_code = ExitCode.STUCK


class Interrupted(SnapmirrorError):  # noqa: N818  (a state, not a mistake)
    """SIGINT, SIGTERM or SIGHUP arrived; the run unwound."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, signal_number: int, signal_name: str) -> None:
        super().__init__(f"stopped by {signal_name}", hint="what is published stays; the next run goes on from here")
        self.signal_number = signal_number
        self.exit_code = ExitCode.INTERRUPTED if signal_name == "SIGINT" else ExitCode.TERMINATED


class ShareLost(Interrupted):
    """The server of the share has stayed away for too long; the run unwound. A storage error that comes as a signal."""

    def __init__(self, signal_number: int, share: str, seconds: int) -> None:
        super().__init__(signal_number, "")
        self.message = f"{share} has not answered for {seconds} seconds"
        self.args = (self.message,)
        self.hint = "is the Windows host running, and on the network? history is as it was, the next run goes on"
        self.exit_code = ExitCode.STORAGE

    def stuck(self, what: StuckError) -> StuckError:
        """The same, where something on the share could not be released."""
        return StuckError(f"{self.message}, and {what.message}", hint=WAY_OUT)
