"""The image: one sparse file, and beside it the record that describes it.

Runs no program. The record (`<image>.json`) is written once, by init, and compared at every opening: a loop device
reads the missing end of a truncated image as zeros, so a wrong size must be detected before anything is attached.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from snapmirror import files, lockfile
from snapmirror.config import ImageConfig
from snapmirror.errors import StorageError
from snapmirror.storage import image_lock
from snapmirror.storage.locks import Rank
from snapmirror.tools import cifs
from snapmirror.tools.loop import SECTOR_BYTES, attached_to
from snapmirror.tools.mount import mount_of

log = logging.getLogger("snapmirror.image")

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_libc = ctypes.CDLL(None, use_errno=True)


class ImageRecord(BaseModel):
    """The content of `<image>.json`. `id` is also the UUID of the LUKS header and of the file system."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    version: Literal[1] = 1
    id: str
    size: int = Field(gt=0)
    filesystem: Literal["xfs", "ext4", "zfs"]
    encryption: Literal["luks2", "luks1", "none"]
    created: str
    ready: bool


def record_file(image: Path) -> Path:
    """The path of an image's record."""
    return image.with_name(image.name + ".json")


def new_record(config: ImageConfig) -> ImageRecord:
    """The record of an image that is about to be made. `ready` becomes true after the self-test."""
    return ImageRecord(
        id=str(uuid.uuid4()),
        size=config.size - config.size % SECTOR_BYTES,
        filesystem=config.filesystem,
        encryption=config.encryption,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        ready=False,
    )


def create(image: Path, record: ImageRecord) -> None:
    """Make the sparse file. It must not exist."""
    # open for reading, too: over SMB a handle for writing only does not even get the size of its file
    with _making(image), image.open("x+b") as file:
        os.fchmod(file.fileno(), 0o600)
        # A hole punched into the empty file sets the sparse flag on an NTFS share, which must be set before the size;
        # elsewhere it does nothing, and may be unsupported.
        punch(file.fileno(), 0, 1 << 20)
        file.truncate(record.size)
        os.fsync(file.fileno())
    if on_share(image) and cifs.is_sparse(image) is False:
        raise StorageError(
            f"the server did not make {image} sparse: it would take its full size at once",
            hint="the share must lie on NTFS or ReFS; FAT and exFAT have no sparse files",
        )
    log.info("made the sparse file %s, %d bytes", image, record.size)


def on_share(image: Path) -> bool:
    """Whether this place is on an SMB share."""
    below = mount_of(image.parent)
    return below is not None and below.filesystem in cifs.FILESYSTEMS


def flush(image: Path) -> None:
    """Flush what was written to the closed image to its disk or server."""
    with image.open("r+b") as file:
        os.fsync(file.fileno())


def forget_content(image: Path, start: int) -> None:
    """Make everything from `start` on a hole again, if the file system below can; the size stays."""
    with image.open("r+b") as file:
        punch(file.fileno(), start, image.stat().st_size - start)


def punch(descriptor: int, start: int, length: int) -> bool:
    """Make a range of a file a hole, which reads as zeros; False if the file system below cannot."""
    how = _KEEP_SIZE | _PUNCH_HOLE
    return int(_libc.fallocate(descriptor, how, ctypes.c_int64(start), ctypes.c_int64(length))) == 0


def write_record(image: Path, record: ImageRecord, *, new: bool) -> None:
    """Write the record in place: the lock of a local image is on this file."""
    path = record_file(image)
    with _making(path), open(path, "x+" if new else "r+", opener=_not_followed) as file:
        lockfile.narrow(file.fileno(), path)
        # In one write and never shorter than before: a crash leaves the old record or the new one.
        text = record.model_dump_json(indent=2) + "\n"
        file.write(text.ljust(os.fstat(file.fileno()).st_size))
        file.flush()
        os.fsync(file.fileno())


def _not_followed(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600) if flags & os.O_EXCL else files.own(Path(path), flags)


@contextmanager
def _making(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be made: {error.strerror}", hint="the file system that it lies on refuses this"
        ) from error


def mark_ready(image: Path, record: ImageRecord) -> ImageRecord:
    """Note that the image has passed the self-test: from now on it can be opened."""
    ready = record.model_copy(update={"ready": True})
    write_record(image, ready, new=False)
    return ready


def read_record(image: Path) -> ImageRecord:
    """The record beside the image. Raises StorageError when it is missing or not a record."""
    path = record_file(image)
    try:
        data = json.loads(files.read(path))
        if isinstance(data, dict) and isinstance(later := data.get("version"), int) and later > 1:
            raise StorageError(f"{path} has version {later}, this snapmirror knows 1", hint="update snapmirror")
        return ImageRecord.model_validate(data)
    except FileNotFoundError:
        if not image.exists():
            raise missing(image) from None
        raise StorageError(
            f"{image} was not made by snapmirror: {path.name} is missing beside it",
            hint="restore that file, or name another image; snapmirror leaves this one alone",
        ) from None
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path} is damaged", hint="restore it from a backup; it tells what the image must look like"
        ) from error


@contextmanager
def held(image: Path, patience: float = 0.0, rank: Rank = Rank.IMAGE) -> Iterator[ImageRecord]:
    """Lock the image, against all who ask for the lock: two configurations, or machines, may name the same image.

    `patience`: seconds to wait for another snapmirror of this machine. Raises TakenError.
    """
    path = record_file(image)
    if not path.exists():
        read_record(image)  # raises the error that says what is wrong
    lock = image_lock.on_server(image, patience, rank)
    with lock if on_share(image) else image_lock.here(image, path, patience, rank):
        yield read_record(image)


def compare(image: Path, record: ImageRecord, config: ImageConfig) -> None:
    """Refuse an image that differs from its record or the configuration."""
    if not record.ready:
        raise StorageError(
            f"{image} was never finished: its init was stopped", hint="run 'snapmirror init' again, it starts over"
        )
    try:
        size = image.stat().st_size
    except FileNotFoundError:
        raise missing(image) from None
    _check_links(image)
    if not image.is_file():
        raise StorageError(f"{image} is not a file")
    if size < record.size:
        raise StorageError(
            f"{image} is truncated: it has {size} of {record.size} bytes",
            hint="the copy or the disk below is incomplete; put a complete image in its place",
        )
    if size > record.size:
        raise StorageError(
            f"{image} has grown: it has {size} bytes, made were {record.size}",
            hint="something else wrote to it; 'truncate --size' would bring the size back if only zeros were added",
        )
    for name in ("filesystem", "encryption"):
        made, wanted = getattr(record, name), getattr(config, name)
        if made != wanted:
            raise StorageError(
                f"{image} was made with {name} = {made}, the configuration says {wanted}",
                hint=f'set {name} = "{made}" in [image]',
            )
    if config.size - config.size % SECTOR_BYTES != record.size:
        log.warning("%s keeps its %d bytes; size = %d in [image] is not applied", image, record.size, config.size)


def _check_links(image: Path) -> None:
    """Refuse a symlink as the image unless it is root's or ours; on a share, any: its target would be opened."""
    status = image.lstat()
    if stat.S_ISLNK(status.st_mode) and (on_share(image) or status.st_uid not in {0, os.geteuid()}):
        raise files.ForeignError(image, "is a symlink of somebody else")


def missing(image: Path) -> StorageError:
    """The error for an image that is missing."""
    return StorageError(f"the image {image} is missing", hint="is its disk mounted? 'snapmirror init' makes a new one")


def is_sparse(image: Path) -> bool:
    """Whether a file on a share is marked as sparse; assumed if the server does not report it."""
    return cifs.is_sparse(image) is not False


def is_attached(image: Path) -> bool:
    """Whether this file is attached to a loop device."""
    return bool(attached_to(image))


def allocated_bytes(image: Path) -> int:
    """The space that the sparse file really takes."""
    if on_share(image) and (told := cifs.allocated_bytes(image)) is not None:
        return told
    return image.stat().st_blocks * 512
