"""Access to the store: its root has mode 700, so only its owner may enter. Runs no program.

In a snapshot files keep the modes and owners that they have on the mirrored server. A user who may enter could
therefore read files that everybody could read there, and write to files, in sealed snapshots, that everybody, or the
user with the same number, could write to there. Modes inside are history and cannot be changed, so the root is closed.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from snapmirror.errors import StorageError
from snapmirror.folder import histories
from snapmirror.model import NOTICE
from snapmirror.storage import run_lock

log = logging.getLogger("snapmirror.store")

CLOSED, READABLE = 0o700, 0o755
_OTHERS = 0o077  # an ACL grants nothing beyond the bits of the group
_EVERYBODYS = frozenset({"lost+found", run_lock.NAME, ".snapmirror-selftest"})


def is_closed(root: Path, mode: int = CLOSED) -> bool:
    """Whether a root has this mode, and belongs to the calling user."""
    status = root.stat()
    return status.st_mode & 0o777 == mode and status.st_uid == os.geteuid()


def close(root: Path, mode: int = CLOSED, *, owner: int | None = None) -> None:
    """Give a root this mode and this owner (or the calling user). Raises StorageError if that cannot be done."""
    wanted = os.geteuid() if owner is None else owner
    try:
        status = root.stat()
        if status.st_uid != wanted:
            os.chown(root, wanted, -1)
        root.chmod(mode | status.st_mode & 0o7000)
        status = root.stat()
    except OSError as error:
        raise _open(root, error.strerror or str(error)) from error
    if (status.st_mode & 0o777, status.st_uid) != (mode, wanted):
        raise _open(root, "its file system keeps no modes")


def tell_closed(before: os.stat_result, *, harmless: bool = False) -> None:
    """Report that a store was open to others, by its status before. `harmless`: as requested, or while empty."""
    mode, level = before.st_mode & 0o777, NOTICE if harmless else logging.WARNING
    log.log(level, "other users could enter the store (mode %o); it is closed to them now (mode 700)", mode)


def close_folder(folder: Path, mirrors: Collection[str], *, keep_owner: bool = False) -> None:
    """Close a store that is a plain folder, if others may enter it. `keep_owner`: do not change the owner.

    Raises StorageError if that cannot be done, or if the folder holds more than a store.
    """
    status = folder.stat()
    # root may manage the store of an ordinary user, and must not take it away from him
    owner = status.st_uid if keep_owner or status.st_uid in _owners(folder, mirrors) else os.geteuid()
    if not status.st_mode & _OTHERS and status.st_uid == owner:
        return
    if os.geteuid() not in (0, status.st_uid):
        raise _open(folder, "it belongs to somebody else")
    if (strange := _not_of_a_store(folder, mirrors)) is not None:
        raise StorageError(
            f"other users may enter the store {folder}, and it holds {strange!a}, which is not snapmirror's",
            hint=f"a store needs a folder of its own; or, if nobody else uses this one: chmod 700 {folder}",
        )
    close(folder, owner=owner)
    tell_closed(status, harmless=not histories(folder))


def check_way(path: Path) -> None:
    """Make sure that nobody but root can replace a mount point, or a folder above it.

    Raises StorageError, naming the folder.
    """
    if os.geteuid() != 0:
        return
    seen = path.parent.resolve() / path.name
    for place in {*path.parents, path, *seen.parents, seen, path.resolve()}:
        try:
            status = place.lstat()
        except OSError:
            continue  # it does not exist yet, so it will be ours
        free_for_all = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX
        if status.st_uid != 0 or (free_for_all and not stat.S_ISLNK(status.st_mode)):
            raise StorageError(
                f"{place} is not root's alone: another user could have the store mounted elsewhere",
                hint="name a store.path in folders that only root may write to, or mend that with chown and chmod",
            )


def _not_of_a_store(folder: Path, mirrors: Collection[str]) -> str | None:
    for entry in sorted(folder.iterdir()):
        if entry.name not in _EVERYBODYS and entry.name not in mirrors and not (entry / ".snapmirror").is_dir():
            return entry.name
    return None


def _owners(folder: Path, mirrors: Collection[str]) -> set[int]:
    """The owners of the mirrors in a store."""
    found = set()
    for name in mirrors:
        with suppress(OSError):
            found.add((folder / name / ".snapmirror").stat().st_uid)
    return found


def _open(root: Path, why: str) -> StorageError:
    return StorageError(
        f"other users may enter the store {root}, and that cannot be changed: {why}",
        hint=f"as root: chown {os.geteuid()} {root}; chmod 700 {root}",
    )
