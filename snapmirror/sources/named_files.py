"""Checks the files that a mirror's options name: would rsync or ssh fail because of one? Problems in their own words.

Runs no program.
"""

from __future__ import annotations

import os
import stat
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from snapmirror import files
from snapmirror.config import MirrorConfig
from snapmirror.errors import TransferError

_OPTIONS = ("identity", "known_hosts", "password_file", "exclude_from", "include_from")


class Problem(Struct, frozen=True):
    """A fault of one of the files, and how to mend it. `fatal`: a night would fail."""

    message: str
    mend: str
    fatal: bool = True


def problems(mirror: MirrorConfig) -> Iterator[Problem]:
    """All problems of a mirror's files."""
    for option in _OPTIONS:
        path: Path | None = getattr(mirror, option)
        if path is not None:
            yield from _problem(option, path)


def check(mirror: MirrorConfig) -> None:
    """Raises TransferError for the first problem that would make a night fail."""
    for problem in problems(mirror):
        if problem.fatal:
            raise TransferError(problem.message, hint=problem.mend)


def _problem(option: str, path: Path) -> Iterator[Problem]:
    named = f"{option} {path}"
    try:
        status = path.stat()
    except OSError as error:
        if option == "identity" and path.with_name(path.name + ".pub").exists():
            return  # an agent holds the key itself
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        if missing:
            yield Problem(f"{named} does not exist", f"make it, or change {option}")
        else:
            yield Problem(f"{named} cannot be read: {error.strerror}", "change its owner or mode")
        return
    if (what := files.no_file(status.st_mode)) is not None and not _is_null(status):
        yield Problem(f"{named} {what}", f"change {option}")  # reading a pipe would wait for its writer
    elif not os.access(path, os.R_OK):
        yield Problem(f"{named} cannot be read", "change its owner or mode")
    elif option == "password_file" and os.geteuid() == 0 != status.st_uid:
        yield Problem(f"{named} belongs to another user", f"chown root {path}; chmod 600 {path}")
    elif option in ("identity", "password_file") and status.st_mode & 0o077:
        # rsync refuses a file that everybody can read or write, ssh also one that the group can, if it is ours
        fatal = bool(status.st_mode & 0o006) if option == "password_file" else status.st_uid == os.geteuid()
        yield Problem(f"{named} can be read by others", f"chmod 600 {path}", fatal)
    elif _begins_with_mark(path):
        # in a list the first line may be a comment
        yield Problem(*files.byte_order_mark(named, path), option in ("identity", "password_file"))


def _is_null(status: os.stat_result) -> bool:
    """Whether it is /dev/null, which stands for an empty file."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)


def _begins_with_mark(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(BOM_UTF8)) == BOM_UTF8
