"""Opens and closes the store: share, image, encryption, file system or pool on one ExitStack; or a plain folder.

The leftovers of a dead run are found by asking the kernel, and released first. Closing acts, then verifies; a layer
that cannot be released is a StuckError, and nothing below it is touched.

Runs no program itself.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from msgspec import Struct

from snapmirror import folder
from snapmirror.config import Config, ImageConfig, ZfsConfig
from snapmirror.errors import SnapmirrorError, StorageError, StuckError, UsageError, denied, shortage
from snapmirror.model import NOTICE
from snapmirror.process import ProgramFailed
from snapmirror.storage import encryption, entrance, export_lock, filesystem, image, known_header, pool, share, view
from snapmirror.storage.encryption import BlockDevice, Places
from snapmirror.storage.image import ImageRecord
from snapmirror.tools import filesystems, loop, luks, zpool
from snapmirror.tools.filesystems import Counters
from snapmirror.tools.mount import Mount, mount_at, mounts_of, umount
from snapmirror.tools.undo import LeaveStanding

log = logging.getLogger("snapmirror.store")


class OpenStore(Struct, frozen=True):
    """An open store: its folder, and the state of the storage below it.

    `dataset` is the one mounted there, if ZFS keeps the history.
    """

    path: Path
    image: Path | None = None
    block: BlockDevice | None = None
    read_only: bool = False
    dataset: str | None = None

    @property
    def pool(self) -> str | None:
        """The ZFS pool, or None."""
        return self.dataset.partition("/")[0] if self.dataset else None

    @property
    def device(self) -> str | None:
        """The kernel's name of the loop device ("loop3"), or None for a plain folder."""
        return self.block.loop_name if self.block else None

    def free_bytes(self) -> int:
        """The free space according to the store's own file system."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def whole_bytes(self) -> int:
        """The capacity of the store's own file system when it is empty."""
        status = os.statvfs(self.path)
        return status.f_blocks * status.f_frsize

    def free_inodes(self) -> int | None:
        """The number of entries that can still be made; None if the file system does not count them."""
        status = os.statvfs(self.path)
        return status.f_favail if status.f_files else None

    def backing_free_bytes(self) -> int | None:
        """The free space of the disk that holds the sparse image: the store's own number is only an upper bound."""
        if self.image is None:
            return None
        status = os.statvfs(self.image.parent)
        return status.f_bavail * status.f_frsize

    def allocated_bytes(self) -> int | None:
        """The space that the sparse image takes on its disk."""
        return image.allocated_bytes(self.image) if self.image else None

    def counters(self) -> Counters | None:
        """The I/O counters of the loop device."""
        return filesystems.counters(self.device) if self.device else None

    def flush(self) -> None:
        """Flush everything to the disk. Raises StorageError when any write has failed."""
        if self.pool is not None:
            zpool.sync(self.pool)
        else:
            filesystems.flush(self.path)

    def scrub(self) -> tuple[str, ...] | None:
        """Let ZFS read every block in use and compare its checksum; returns messages about damage, None without ZFS.

        It takes as long as reading the whole pool; blocks that snapshots share are read once.
        """
        if self.pool is None:
            return None
        zpool.scrub(self.pool)
        return zpool.health(self.pool).errors

    def trim(self) -> int | None:
        """Return the space of expired snapshots to the disk below; None if this stack cannot."""
        if self.block is None or not self.block.gives_back_space or self.read_only:
            return None
        if self.pool is not None:
            zpool.trim(self.pool)
            log.info("trimmed the pool %s", self.pool)
            return None
        filesystems.collect(self.path)
        filesystems.flush(self.path)  # blocks of removed files are free only after the removal is on the disk
        offered = filesystems.trim(self.path)
        log.info("trimmed %s: %d bytes offered to the disk below", self.path, offered)
        return offered


@contextmanager
def open_store(config: Config, *, read_only: bool = False, patience: float = 0.0) -> Iterator[OpenStore]:
    """Open the store at its path. For reading, a store that is mounted for browsing is used as it is.

    `patience`: seconds to wait for another snapmirror of this machine. Raises StorageError.
    """
    with failures_of(config.store.path), ExitStack() as stack:
        if not read_only:
            stack.enter_context(export_lock.closed(config))
        if config.image is None:
            on_pool = _on_pool(config, config.zfs, patience, read_only=read_only) if config.zfs else None
            yield stack.enter_context(on_pool) if on_pool else _plain(config, read_only=read_only)
            return
        need_root()
        record = stack.enter_context(held(config, config.image, patience))
        browsed = _browsed(config, config.image)
        if read_only and browsed is not None:
            yield browsed
            return
        recover(config, config.image)
        image.compare(config.image.file, record, config.image)
        yield stack.enter_context(standing(config, config.image, record, read_only=read_only))


def mount_for_browsing(config: Config, *, readable: bool | None = None) -> bool:
    """Mount the store read-only and leave it so. False when it was mounted, or is a plain folder that needs no mount.

    `readable`: for every user of this machine, who can then read what the modes of the files allow; otherwise for root
    alone. None accepts a mounted store as it is. Raises UsageError if readers cannot be admitted safely.
    """
    if readable and (config.image is None or config.zfs is not None):
        raise UsageError(
            "only the file system of an image can be mounted for other users",
            hint="'snapmirror help who-may-read' tells how to let others read",
        )
    mode = entrance.READABLE if readable else entrance.CLOSED
    with failures_of(config.store.path):
        if config.image is None:
            if config.zfs is not None:
                return _browse_pool(config, config.zfs)
            _plain(config, read_only=True)
            return False
        need_root()
        with held(config, config.image) as record:
            if _browsed(config, config.image) is not None and (
                readable is None or config.zfs is not None or entrance.is_closed(config.store.path, mode)
            ):
                return False
            recover(config, config.image)
            image.compare(config.image.file, record, config.image)
            with suppress(LeaveStanding), standing(config, config.image, record, read_only=True, mode=mode):
                if config.zfs is not None:
                    pool.show_snapshots(_pool_of(config, config.image, config.zfs))
                raise LeaveStanding
        return True


def umount_store(config: Config) -> bool:
    """Release all open layers of the store, and verify. False when there were none."""
    with failures_of(config.store.path):
        if not export_lock.is_exported(config):
            view.release(config.store.path)
        if config.image is None:
            return config.zfs is not None and _release_pool(config, config.zfs)
        need_root()
        if config.share is not None and not share.is_mounted(config.share):
            return False  # nothing can be open on it
        with held(config, config.image):
            return _release(config, config.image) or config.share is not None


@contextmanager
def held(config: Config, image_config: ImageConfig, patience: float = 0.0) -> Iterator[ImageRecord]:
    """Mount the share, if there is one, and lock the image on it."""
    with share.mounted(config.share), image.held(image_config.file, patience) as record:
        yield record


@contextmanager
def standing(
    config: Config,
    image_config: ImageConfig,
    record: ImageRecord,
    *,
    read_only: bool = False,
    mode: int = entrance.CLOSED,
) -> Iterator[OpenStore]:
    """Open every layer of the store, from the image to the mount. The caller holds the image. `mode` is the root's."""
    file, path = image_config.file, config.store.path
    with ExitStack() as stack:
        key = encryption.read_key(image_config)
        block = stack.enter_context(encryption.opened(file, record, key, known_header.copies_of(config)))
        if config.zfs is not None:
            place = pool.Place(config.zfs, path, block.device, record.id)
            stack.enter_context(pool.standing(place, read_only=read_only))
            yield OpenStore(path, image=file, block=block, read_only=read_only, dataset=place.base)
            return
        private = Places(file).private
        filesystem.check(block.device, record, private)
        entrance.check_way(path)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(path.iterdir()):
            log.warning("%s holds files that do not belong to the store; the mount hides them", path)
        stack.enter_context(filesystem.mounted(block.device, path, record, private, read_only=read_only, mode=mode))
        yield OpenStore(path, image=file, block=block, read_only=read_only)


def recover(config: Config, image_config: ImageConfig) -> None:
    """Release what a dead run, or browsing, left open. The caller holds the image, so nobody uses it.

    Raises StorageError for layers that are not ours, and for a browsed store that is busy.
    """
    _recover(config, lambda: _release(config, image_config))


def _recover(config: Config, release: Callable[[], bool]) -> None:
    mounted = mount_at(config.store.path)
    browsed = mounted is not None and mounted.read_only
    try:
        released = release()
    except StuckError as stuck:
        if not browsed:
            raise
        raise StorageError(
            f"the store is mounted for browsing and in use: {stuck.message}",
            hint="leave the folder, then run 'snapmirror umount'",
        ) from stuck
    if released:
        what = "the store was still mounted for browsing" if browsed else "the last run died with the store open"
        log.log(NOTICE, "%s; released it", what)


def _pool_of(config: Config, image_config: ImageConfig, settings: ZfsConfig) -> pool.Place:
    """The pool in the image, to check which of its layers are open."""
    return pool.Place(settings, config.store.path, id=image.read_record(image_config.file).id)


@contextmanager
def _on_pool(config: Config, settings: ZfsConfig, patience: float, *, read_only: bool) -> Iterator[OpenStore]:
    """Open the store on disks of its own, or in a pool of somebody else."""
    need_root()
    place = pool.Place(settings, config.store.path)
    with pool.held(place, patience):
        if read_only and pool.is_browsed(place):
            yield OpenStore(place.path, read_only=True, dataset=place.base)
            return
        _recover(config, lambda: pool.release(place))
        with pool_standing(place, read_only=read_only) as store:
            yield store


@contextmanager
def pool_standing(place: pool.Place, *, read_only: bool = False, proved: bool = True) -> Iterator[OpenStore]:
    """Open every layer of a store without an image. The caller holds it."""
    with pool.standing(place, read_only=read_only, proved=proved):
        yield OpenStore(place.path, read_only=read_only, dataset=place.base)


def _browse_pool(config: Config, settings: ZfsConfig) -> bool:
    need_root()
    place = pool.Place(settings, config.store.path)
    with pool.held(place):
        if pool.is_browsed(place):
            return False
        _recover(config, lambda: pool.release(place))
        with suppress(LeaveStanding), pool.standing(place, read_only=True):
            pool.show_snapshots(place)
            raise LeaveStanding
    return True


def _release_pool(config: Config, settings: ZfsConfig) -> bool:
    need_root()
    place = pool.Place(settings, config.store.path)
    with pool.held(place):
        return pool.release(place)


def is_browsed(config: Config, image_config: ImageConfig) -> bool:
    """Whether the store is mounted for browsing. The caller holds the image."""
    return _browsed(config, image_config) is not None


def need_root() -> None:
    """Raises an error without root: only root can mount an image or a pool."""
    if os.geteuid() != 0:
        raise StorageError(
            "a store in an image or a pool needs root",
            hint="run it as root or with sudo; a store without [image] is a plain folder and needs neither",
        )


@contextmanager
def failures_of(path: Path) -> Iterator[None]:
    """Turn errors that the disk, and not the caller, has caused into a SnapmirrorError, wherever they occurred."""
    try:
        yield
    except (SnapmirrorError, LeaveStanding):
        raise
    except ProgramFailed as failed:
        argv, complaint = failed.completed.argv, failed.completed.complaint
        raise StorageError(f"the store {path} failed: {argv[0]}: {complaint}", hint=_BROKEN) from failed
    except Exception as error:
        if (known := shortage(error) or denied(error)) is not None:
            raise known from error
        if not isinstance(error, OSError) or error.errno not in _FAILURES:
            raise
        where = f" at {error.filename!a}" if error.filename else ""
        raise StorageError(f"the store {path} failed{where}: {error.strerror}", hint=_FAILURES[error.errno]) from error


_FULL = "the store, or the disk that holds its image, is full"
_BROKEN = "'dmesg' names what failed below; 'snapmirror doctor --storage' tests it"
_FAILURES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    **dict.fromkeys((errno.EIO, errno.EROFS, errno.EUCLEAN, errno.EBADMSG, errno.ENOTCONN), _BROKEN),
}


def _plain(config: Config, *, read_only: bool) -> OpenStore:
    path = folder.found(config.store.path)
    names = [mirror.name for mirror in config.mirrors]
    if not read_only:
        folder.check_writable(path, names)
    with suppress(StorageError) if read_only else nullcontext():  # a reader need not have the right to close it
        entrance.close_folder(path, names, keep_owner=read_only)
    return OpenStore(path, read_only=read_only)


def _browsed(config: Config, image_config: ImageConfig) -> OpenStore | None:
    """The store as `snapmirror mount` left it, or None."""
    if config.zfs is not None:
        place = _pool_of(config, image_config, config.zfs)
        browsed = OpenStore(place.path, image=image_config.file, read_only=True, dataset=place.base)
        return browsed if pool.is_browsed(place) else None
    mounted = mount_at(config.store.path)
    if mounted is None or not mounted.read_only or mounted not in _our_mounts(image_config.file):
        return None
    return OpenStore(config.store.path, image=image_config.file, block=None, read_only=True)


def _devices(file: Path) -> list[Path]:
    """Every block device of this image: raw, decrypted, or both."""
    places = Places(file)
    found = [device.device for device in loop.attached_to(file, places.export)]
    return [*found, luks.mapping(places.mapping)] if luks.is_unlocked(places.mapping) else found


def _our_mounts(file: Path) -> list[Mount]:
    return [mounted for device in _devices(file) for mounted in mounts_of(device)]


def _release(config: Config, image_config: ImageConfig) -> bool:
    """Undo every open layer, top to bottom; True when there was any."""
    file, path, places = image_config.file, config.store.path, Places(image_config.file)
    released = config.zfs is not None and pool.release(_pool_of(config, image_config, config.zfs))
    ours = _our_mounts(file)
    top = mount_at(path)
    if top is not None and top not in ours:
        raise StorageError(
            f"{path} is a mount point of something else ({top.source})", hint="name another store.path, or umount that"
        )
    for mounted in ours:
        if mounted.target not in (path.resolve(), places.private):
            raise StorageError(
                f"{file} is mounted on {mounted.target}, not by snapmirror",
                hint=f"end that with: umount {mounted.target}",
            )
    encryption.refuse_others(file, by_daemon=image_config.encryption == "luks1")
    standing_before = released or bool(_devices(file)) or places.folder.exists()
    while (top := mount_at(path)) is not None and top in _our_mounts(file):
        umount(path)
    while mount_at(places.private) is not None:
        umount(places.private)
    encryption.release(file)
    with suppress(OSError):
        places.private.rmdir()
    with suppress(OSError):
        places.folder.rmdir()
    return standing_before
