"""Makes a new store: refuses what it did not make, undoes its steps on a failure, tests the store before it succeeds.

Runs no program itself. A killed init leaves an image whose record says that it is not ready; the next init starts over.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from snapmirror import folder
from snapmirror.config import Config, ImageConfig, ZfsConfig
from snapmirror.errors import StorageError
from snapmirror.model import size
from snapmirror.storage import encryption, entrance, filesystem, image, known_header, pool, run_lock, share
from snapmirror.storage.encryption import BlockDevice, How, Places
from snapmirror.storage.image import ImageRecord
from snapmirror.storage.open_store import failures_of, need_root, pool_standing, recover
from snapmirror.storage.selftest import DEFAULT_WORKLOAD, SelftestReport, Workload, prove, selftest, selftest_held
from snapmirror.tools import luks
from snapmirror.tools.mount import mount_at
from snapmirror.tools.undo import undone_by

log = logging.getLogger("snapmirror.init")

Progress = Callable[[str], None]


class InitReport(Struct, frozen=True):
    """A store that was made and tested. `seconds` is the time for making it, without the self-test."""

    path: Path
    image: Path | None
    how: How
    taken_bytes: int
    seconds: float
    selftest: SelftestReport
    warnings: tuple[str, ...]


def initialise(config: Config, progress: Progress = log.info, workload: Workload = DEFAULT_WORKLOAD) -> InitReport:
    """Make the store that the configuration describes. `progress` gets a sentence for each step."""
    with failures_of(config.store.path):
        if config.is_plain:
            return _make_folder(config, progress, workload)
        need_root()
        if config.image is None:
            assert config.zfs is not None
            return _make_pool(config, config.zfs, progress, workload)
        with share.mounted(config.share):
            return _make_image(config, config.image, progress, workload)


def _make_folder(config: Config, progress: Progress, workload: Workload) -> InitReport:
    path, started, made = config.store.path, time.monotonic(), list[Path]()
    folder.refuse_foreign_link(path, "store.path")
    with undone_by(lambda: _remove(made)):
        _make_store_folder(path, made)
        seconds = time.monotonic() - started
        progress(f"{'made the' if made else 'took the empty'} folder {path}; testing the storage below it")
        report = selftest(config, workload)
        made.clear()
    return InitReport(path, None, "none", 0, seconds, report, ())


def _make_pool(config: Config, settings: ZfsConfig, progress: Progress, workload: Workload) -> InitReport:
    """Make a pool on disks of its own, or datasets in a pool of somebody else."""
    place, started, made = pool.Place(settings, config.store.path), time.monotonic(), list[Path]()
    with pool.held(place), undone_by(lambda: _remove(made)):
        pool.release(place)
        _make_store_folder(place.path, made)
        pool.make(place)
        progress(f"made {place.base}; testing the whole stack")
        seconds = time.monotonic() - started
        try:
            report = prove(lambda: pool_standing(place, proved=False), workload, remounted=True)
            with pool.standing(place, proved=False):
                pool.check_thoroughly(place)
                pool.mark_ready(place)
        except BaseException:
            pool.remove(place)
            raise
        made.clear()
    return InitReport(place.path, None, "none", 0, seconds, report, ())


def _make_inside(config: Config, file: Path, block: BlockDevice, record: ImageRecord) -> None:
    """Make the file system or pool in the opened image."""
    if config.zfs is not None:
        pool.make(pool.Place(config.zfs, config.store.path, block.device, record.id))
    else:
        filesystem.make(block.device, record, Places(file).private)


def _make_image(config: Config, image_config: ImageConfig, progress: Progress, workload: Workload) -> InitReport:
    file, path, started, made = image_config.file, config.store.path, time.monotonic(), list[Path]()
    how = encryption.choose(image_config.encryption)
    key = encryption.read_key(image_config)
    encryption.check_new_key(image_config.encryption, key)
    record, copies = image.new_record(image_config), known_header.copies_of(config)
    _check_room(image_config, record)
    _clear_unfinished(config, image_config, progress)
    _refuse_existing(image_config)
    if mount_at(path) is not None:
        raise StorageError(f"{path} is a mount point already", hint="umount what is there, or name another store.path")

    with undone_by(lambda: _remove(made)):
        _make_store_folder(path, made)
        image.write_record(file, record, new=True)
        made.append(image.record_file(file))
        with image.held(file):
            made.append(file)
            image.create(file, record)
            progress(f"made the sparse image {file}, {record.size / 2**30:.1f} GiB")
            if key is not None and image_config.header_backup is not None:
                made.append(image_config.header_backup)
                encryption.encrypt(file, record, key, image_config.header_backup)
                folder = copies.known.parent
                made += [copies.known] if folder.exists() else [folder, copies.known]
                known_header.learn(image_config.header_backup, copies)
                progress(f"encrypted it with {record.encryption}; copy of its header: {image_config.header_backup}")
            with encryption.opened(file, record, key, copies) as block:
                _make_inside(config, file, block, record)
            progress(f"made the {record.filesystem} in it; testing the whole stack")
            taken, seconds = image.allocated_bytes(file), time.monotonic() - started
            report = selftest_held(config, image_config, record, workload)
            if how == "qemu-storage-daemon":  # it cannot trim the files of the self-test: make the image empty again
                image.forget_content(file, luks.HEADER_1_BYTES)
                with encryption.opened(file, record, key, copies) as block:
                    _make_inside(config, file, block, record)
            image.mark_ready(file, record)
        made.clear()
    return InitReport(path, file, how, taken, seconds, report, _warnings(config, file, record, report.free_bytes))


def _check_room(image_config: ImageConfig, record: ImageRecord) -> None:
    smallest = filesystem.SMALLEST_BYTES[record.filesystem]
    if record.size < smallest:
        raise StorageError(
            f"an image of {record.size >> 20} MiB is too small for {record.filesystem}",
            hint=f"set size in [image] to {smallest >> 20}M or more",
        )
    for file in (image_config.file, image_config.header_backup):
        if file is not None and not file.parent.is_dir():
            raise StorageError(f"the folder {file.parent} is missing", hint="is its disk mounted? else make it first")


def _refuse_existing(image_config: ImageConfig) -> None:
    file = image_config.file
    if image.record_file(file).exists():
        raise StorageError(
            f"{file} is ready already", hint="init makes new images only; 'snapmirror run' uses this one"
        )
    for taken in (file, image_config.header_backup):
        if taken is not None and (taken.exists() or taken.is_symlink()):
            raise StorageError(
                f"{taken} exists already, and snapmirror did not make it for this store",
                hint="name another file, or move that one away",
            )


def _clear_unfinished(config: Config, image_config: ImageConfig, progress: Progress) -> None:
    """Remove what a killed init has made."""
    file, backup = image_config.file, image_config.header_backup
    kept = image.record_file(file)
    if not kept.exists():
        return
    if kept.stat().st_size == 0 and not file.exists():  # killed at its very first step
        kept.unlink()
        return
    if image.read_record(file).ready:
        return
    with image.held(file) as record:
        progress(f"an earlier init of {file} was stopped; starting over")
        recover(config, image_config)
        if backup is not None and backup.exists() and luks.header_uuid(backup) == record.id:
            backup.unlink()
        file.unlink(missing_ok=True)
        kept.unlink()


def _make_store_folder(path: Path, made: list[Path]) -> None:
    """Make the folder, or use an empty one."""
    try:
        entrance.check_way(path)
        if not path.exists():
            path.mkdir(mode=0o700, parents=True)
            made.append(path)
        foreign = sorted({entry.name for entry in path.iterdir()} - {"lost+found", run_lock.NAME})
    except OSError as error:
        raise StorageError(f"the folder {path} cannot be used: {error.strerror}") from error
    if foreign:
        raise StorageError(
            f"the folder {path} is not empty: it holds {foreign[0]!a}", hint="name another store.path, or empty it"
        )


def _remove(made: list[Path]) -> None:
    """Remove what a failed init has made, newest first."""
    for path in reversed(made):
        with suppress(FileNotFoundError):
            path.rmdir() if path.is_dir() else path.unlink()


def _warnings(config: Config, file: Path, record: ImageRecord, inside: int) -> tuple[str, ...]:
    """`inside` is the space that its file system offers: it uses a part of the image itself."""
    status, found = os.statvfs(file.parent), list[str]()
    free, kept = status.f_bavail * status.f_frsize, config.min_free
    if free < record.size:
        found.append(f"the image may grow to {size(record.size)}, but its disk has only {size(free)} left")
    if inside <= kept:
        found.append(
            f"no night has room in an image of {size(record.size)}, as {size(kept)} stay free (min_free), and its file "
            f"system has {size(inside)}"
        )
    return tuple(found)
