"""The doctor's checks of the store: key, image, path, space. Opens nothing, except to test the storage."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from snapmirror import folder
from snapmirror.check import Check, fail, failed, ok, warn
from snapmirror.config import Config, ImageConfig
from snapmirror.errors import ExitCode, SnapmirrorError, StorageError
from snapmirror.model import size
from snapmirror.state import summary
from snapmirror.storage import encryption, image, known_header
from snapmirror.storage.header import Header
from snapmirror.storage.image import ImageRecord
from snapmirror.storage.known_header import Copies
from snapmirror.tools import loop, luks
from snapmirror.tools.mount import mount_at, mount_of

_STORAGE = ExitCode.STORAGE
_OWN = {"xfs": (96 << 20, 0.005), "ext4": (40 << 20, 0.02)}
"""The least that a new file system keeps for itself, in bytes and as a share of its size. (Of 1,100 MiB, xfs keeps 103
and ext4 68; of 3,000 MiB 116 and 135.)"""


def examine(config: Config) -> Iterator[Check]:
    """Key, image and space of the closed store."""
    yield from _state_dir(config)
    if config.image is not None:
        yield from _key(config.image, known_header.copies_of(config))
        yield from _image(config, config.image)
    yield from _path(config)
    yield from _copy(config)


def visible_folder(config: Config) -> Path | None:
    """The store's folder, if its snapshots can be read now: a plain folder, or a mounted image."""
    path = config.store.path
    if not path.is_dir():
        return None
    if not config.is_plain and mount_at(path) is None:
        return None
    return path


def _state_dir(config: Config) -> Iterator[Check]:
    folder = config.store.state_dir
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(nearest, os.W_OK | os.X_OK) or not nearest.is_dir():
        mend = "set state_dir in [store] to a folder that this user can write"
        yield fail("state_dir", f"{folder} cannot be written by this user", mend, _STORAGE)


def _key(config: ImageConfig, copies: Copies) -> Iterator[Check]:
    if config.encryption == "none":
        return
    try:
        key = encryption.read_key(config)
        encryption.check_new_key(config.encryption, key)
    except SnapmirrorError as error:
        yield failed("key", error)
        return
    where = config.key_file or (config.key_command or ("",))[0]
    mode = config.key_file.stat().st_mode if config.key_file else 0
    if mode & 0o077:
        yield warn("key", f"{where} can be read by others ({stat.filemode(mode)})", f"chmod 600 {where}")
    if key is not None and config.file.is_file() and image.record_file(config.file).is_file():
        try:
            judged = known_header.judge(config.file, image.read_record(config.file), copies)
            if not luks.key_fits(config.file, key):
                raise luks.wrong_key(config.file)
        except SnapmirrorError as error:
            yield failed("key", error)
            return
        yield ok("key", f"the key of {where} opens the image")
        yield from _header(config, judged.header)
    else:
        yield ok("key", f"{where} gives a key")


def _header(config: ImageConfig, found: Header) -> Iterator[Check]:
    backup = config.header_backup
    if backup is None:
        return
    mend = f"cryptsetup luksHeaderBackup {config.file} --header-backup-file {backup}"
    if not backup.is_file():
        yield warn("header", f"the backup of the LUKS header is missing at {backup}", mend)
    elif not known_header.equals(config.file, found, backup):
        what = f"the backup of the LUKS header at {backup} is an old one: it has other key slots"
        yield warn("header", what, f"mv {backup} {backup}.old; {mend}")
    else:
        yield ok("header", f"a backup of the LUKS header is at {backup}; keep a copy of it elsewhere")


def _image(config: Config, image_config: ImageConfig) -> Iterator[Check]:
    file = image_config.file
    if not file.exists() and not image.record_file(file).exists():
        if file.parent.is_dir():
            yield fail("image", f"{file} does not exist", "'snapmirror init' makes it", _STORAGE)
        else:
            yield fail("image", f"the folder {file.parent} does not exist", "is its disk mounted?", _STORAGE)
        return
    try:
        record = image.read_record(file)
        image.compare(file, record, image_config)
    except SnapmirrorError as error:
        yield failed("image", error)
        return
    if os.geteuid() == 0:
        try:
            loop.check_writable(file)
        except SnapmirrorError as error:
            yield failed("image", error)
    taken = image.allocated_bytes(file)
    below = mount_of(file)
    if below is not None and below.filesystem in ("tmpfs", "ramfs"):
        what = "a restart deletes it, and when the memory is full, writes are lost without an error"
        yield warn("image", f"{file} is in memory ({below.filesystem}): {what}", "keep it on a disk or a share")
    else:
        yield ok("image", f"{file}, {size(record.size)} of which {size(taken)} are taken, {record.filesystem}")
    yield from _room_inside(config, record)
    free, needed = _free(file.parent), config.min_free
    rest = max(0, record.size - taken)
    if free < needed:
        mend = "make room on that disk; the snapshots inside cannot grow"
        yield fail("space", f"the disk below the image has {size(free)} left, less than min_free", mend, _STORAGE)
    elif free < rest:
        yield warn(
            "space",
            f"the disk below the image has {size(free)} left, the image may still grow by {size(rest)}",
            "make room on that disk, or the store will run out of space that it seems to have",
        )
    else:
        yield ok("space", f"the disk below the image has {size(free)} left")


def _room_inside(config: Config, record: ImageRecord) -> Iterator[Check]:
    """Whether the closed image has room for a night: as the last run has seen it; before the first one, by its size."""
    kept, known = config.min_free, summary.load(config).space
    own, share = _OWN.get(record.filesystem, (0, 0.0))
    most = known.store_free if known is not None else record.size - own - int(record.size * share)
    if most <= kept:
        found = f"had {size(most)} left after the last run" if known is not None else f"is of {size(record.size)}"
        message = f"no night has room in the image: it {found}, and {size(kept)} stay free (min_free)"
        mend = "lower min_free, or make a larger image with 'snapmirror init'"
        yield fail("room", message, mend, _STORAGE)


def _path(config: Config) -> Iterator[Check]:
    path, on_image = config.store.path, not config.is_plain
    mounted = mount_at(path) if path.is_dir() else None
    if on_image and mounted is None:
        if path.is_dir() and any(path.iterdir()):
            mend = "move them away; they are hidden while the store is mounted there"
            yield warn("store", f"{path} holds files that do not belong to the store", mend)
        else:
            yield ok("store", f"{path} is where the store will be mounted; it is not mounted now")
        return
    if not on_image:
        try:
            folder.check_writable(folder.found(path), [mirror.name for mirror in config.mirrors])
        except SnapmirrorError as error:
            yield failed("store", error)
            return
    status = os.statvfs(path)
    free, inodes = status.f_bavail * status.f_frsize, status.f_favail if status.f_files else None
    least = max(mirror.guard.min_free_inodes for mirror in config.mirrors)
    if free < config.min_free:
        mend = "make room, keep fewer snapshots, or lower min_free"
        yield fail("store", f"{path} has {size(free)} left, less than min_free", mend, _STORAGE)
    elif inodes is not None and inodes < least:
        mend = "keep fewer snapshots; a store on xfs has no such limit"
        yield fail("store", f"{path} has {inodes} inodes left, less than min_free_inodes", mend, _STORAGE)
    else:
        counted = f" and {inodes:,} inodes" if inodes is not None else ""
        yield ok("store", f"{path} has {size(free)}{counted} left")


def _copy(config: Config) -> Iterator[Check]:
    """The folder that the image is copied to. (A share is checked when it is used.)"""
    copy = config.image_copy
    if copy is None or not isinstance(copy.destination, Path):
        return
    if copy.destination.is_dir():
        yield ok("copy", f"{copy.destination} is there")
    elif copy.after_night:
        yield warn("copy", f"{copy.destination} is missing, but each night should be copied there", "mount that disk")


def _free(folder: Path) -> int:
    try:
        status = os.statvfs(folder)
    except OSError as error:
        raise StorageError(f"the free space of {folder} cannot be read: {error.strerror}") from error
    return status.f_bavail * status.f_frsize
