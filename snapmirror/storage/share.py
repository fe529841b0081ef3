"""The share: mounted below the image, unmounted after it. Runs no program itself.

Several programs of this machine may use one mount at a time, each with another image, or one waiting for the image of
another. A lock file counts them: each holds it shared while it uses the mount, and exclusively while it mounts or
unmounts. The kernel releases the lock of a dead program, so a share that a dead run left mounted is simply used, and
unmounted by the next program that ends. A store that was left mounted for browsing keeps its share mounted.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from snapmirror import lockfile
from snapmirror.config import ShareConfig
from snapmirror.errors import ShareLost, StorageError, StuckError
from snapmirror.storage import locks
from snapmirror.storage.encryption import RUNTIME_FOLDER
from snapmirror.storage.locks import Rank, Refusal
from snapmirror.tools import cifs, loop
from snapmirror.tools.mount import mount_at, umount
from snapmirror.tools.undo import undone_by

log = logging.getLogger("snapmirror.share")

_TURN_SECONDS = 100.0  # the most that another program needs to mount or unmount it
_PAUSE_SECONDS = 0.05


@contextmanager
def mounted(share: ShareConfig | None, rank: Rank = Rank.SHARE) -> Iterator[None]:
    """Mount the share on its mount point. Without a share there is nothing to do."""
    if share is None:
        yield
        return
    with _users(share.mount_point) as users, undone_by(lambda: _release(users, share.mount_point)):
        try:
            with locks.held(rank, lambda: _join(users, share), pause=_PAUSE_SECONDS):
                yield
        except ShareLost as lost:
            _check_left(users, share.mount_point, lost)
            raise


def place(share: ShareConfig) -> cifs.Place:
    """The share as the value that the tools take."""
    return cifs.Place(share.unc, share.port)


def is_mounted(share: ShareConfig) -> bool:
    """Whether something is mounted there, according to the kernel; the server is not contacted."""
    return mount_at(share.mount_point) is not None


def _join(users: IO[bytes], share: ShareConfig) -> Refusal | None:
    """Use the existing mount, or make it, unless another program is just mounting or unmounting it."""
    if lockfile.take(users, fcntl.LOCK_SH) and is_mounted(share):
        cifs.check_mounted(place(share), share.mount_point)
        return None
    if lockfile.take(users, fcntl.LOCK_EX):
        if not is_mounted(share):
            _mount(share)
        lockfile.take(users, fcntl.LOCK_SH)
        return None
    return Refusal(lambda: _busy(users, share), _TURN_SECONDS, notice=None)


def _busy(users: IO[bytes], share: ShareConfig) -> StorageError:
    by = lockfile.holders(users.fileno())
    return StorageError(f"{by} is busy mounting or unmounting {share.unc}", hint="wait for it, or stop it")


def _mount(share: ShareConfig) -> None:
    try:
        share.mount_point.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{share.mount_point} cannot be made: {error.strerror}", hint="set mount_point in [share]"
        ) from error
    cifs.mount(place(share), share.mount_point, share.credentials)
    cifs.check_mounted(place(share), share.mount_point)
    log.info("mounted %s on %s", share.unc, share.mount_point)


def _release(users: IO[bytes], mount_point: Path) -> None:
    """Unmount it, unless another program uses it, or an image on it was left open for browsing."""
    if not lockfile.take(users, fcntl.LOCK_EX) or loop.attached_below(mount_point):
        return
    while mount_at(mount_point) is not None:
        umount(mount_point)


def _check_left(users: IO[bytes], mount_point: Path, lost: ShareLost) -> None:
    """Report what a dead run has left open on the share: a run that cannot reach the share cannot release it either."""
    if lockfile.take(users, fcntl.LOCK_EX) and (left := loop.attached_below(mount_point)):
        raise lost.stuck(StuckError(f"{left[0]} is still attached")) from lost


def _users(mount_point: Path) -> AbstractContextManager[IO[bytes]]:
    mark = hashlib.sha256(os.fsencode(mount_point)).hexdigest()[:12]
    return locks.file_at(RUNTIME_FOLDER / f"share-{mark}.lock", is_private=True)
