"""Copies the closed image to a removable disk: sparse, only the differences, never over a good copy.

    snapmirror.img        the copy, complete whenever it has this name; .json beside it describes it
    snapmirror.img.sums   the checksums of its blocks when they were last read back (see `sums`)
    snapmirror.img.incomplete, .update, .update.list    while a copy is being made or brought up to date
    snapmirror.img.former.000007.update, .update.list   leads back to the generation before (see `former`)

The image is read in full, and each block's checksum compared with that of the copy. The copy is not read every time,
which would double the time: its checksums are trusted as long as the file was not changed since, and all of them are
checked against the disk every `full_every_days`. Robocopy would write the whole file, including its holes.

A first copy is made under the name `.incomplete`; an interrupted one is continued. An existing copy is updated through
a journal (see `update`) and has the name `.incomplete` while that is applied, so nobody mistakes a mixture for a copy.
Everything written is read back past this machine's caches.

The image is opened first, as a night would do: an image that cannot be opened, or is not the known store, does not
replace a good copy. Runs no program.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from snapmirror.config import Config, CopyConfig, Destination, ImageConfig
from snapmirror.errors import StorageError, UsageError
from snapmirror.folder import is_inside
from snapmirror.model import Progress, Silent
from snapmirror.storage import export_lock, image, known_header
from snapmirror.storage.copier import Copier, CopyReport
from snapmirror.storage.destination import Target, mounted
from snapmirror.storage.image import ImageRecord
from snapmirror.storage.locks import READER_SECONDS
from snapmirror.storage.look import looked_into
from snapmirror.storage.open_store import OpenStore, held, is_browsed, need_root, recover
from snapmirror.storage.run_lock import run_lock


def copy_image(
    config: Config,
    destination: Destination | None,
    examine: Callable[[OpenStore], None],
    *,
    full: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> CopyReport:
    """Copy the closed image to `destination`, or to that of [copy]. Raises SnapmirrorError.

    `examine` gets the store, opened for reading, and raises an error if it must not be copied.

    `full` reads the existing copy as well; `dry_run` only compares.
    """
    if config.image is None:
        raise UsageError("there is no image to copy", hint="this store is a plain folder; copy it with rsync")
    if destination is None and config.image_copy is not None:
        destination = config.image_copy.destination
    if destination is None:
        raise UsageError(
            "where is the image to be copied to?", hint="name a folder or a share, or set destination in [copy]"
        )
    need_root()
    _refuse_store(config, destination)
    started = time.monotonic()
    with (
        run_lock(config),
        export_lock.closed(config),
        held(config, config.image, READER_SECONDS) as record,
        mounted(config, destination) as target,
    ):
        _refuse(config, config.image, record, target)
        with looked_into(config, config.image, record) as store:
            examine(store)
        report = CopyReport(target.shown)
        with _failures(target.shown):
            copier = Copier(config.image.file, record, target, progress or Silent(), report, _keep(config))
            copier.run(full, _days(config), dry_run=dry_run)
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _days(config: Config) -> int:
    return config.image_copy.full_every_days if config.image_copy else 7


def _refuse_store(config: Config, destination: Destination) -> None:
    """Refuse a folder over which the store is mounted: a copy there would be hidden, and block the next night."""
    if isinstance(destination, Path) and is_inside(destination, config.store.path):
        raise UsageError(
            f"{destination} lies inside store.path {config.store.path}, where the image is mounted",
            hint="name a folder on another disk to copy it to",
        )


def _keep(config: Config) -> int:
    return config.image_copy.keep if config.image_copy else int(CopyConfig.model_fields["keep"].default)


def _refuse(config: Config, settings: ImageConfig, record: ImageRecord, target: Target) -> None:
    """Refuse what would make a bad copy, or destroy something."""
    if is_browsed(config, settings):
        raise StorageError(
            f"{settings.file} is open, and a copy of an open image is none",
            hint="run 'snapmirror umount'",
        )
    recover(config, settings)
    image.compare(settings.file, record, settings)
    if target.copy.parent.samefile(settings.file.parent):
        raise UsageError(
            f"the image itself lies in {target.copy.parent}", hint="name a folder on another disk to copy it to"
        )
    if record.encryption != "none":
        known_header.judge(settings.file, record, known_header.copies_of(config))


@contextmanager
def _failures(where: str) -> Iterator[None]:
    """Turn an error of the disk into a StorageError with a message."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"copying to {where} failed: {error.strerror}",
            hint="is the disk full, write-protected or gone? The copy that was there is whole, or the next run "
            "finishes it",
        ) from error
