"""Reads a closed image without writing a byte of it.

When they are opened for reading as usual, the file systems still write a little: XFS marks its log, e2fsck notes its
check. A copy would differ by that each time, and need a former generation for it. So every layer is read-only here. An
image that was not closed properly is opened as usual first: its journal has to be replayed.

Runs no program itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from snapmirror.config import Config, ImageConfig
from snapmirror.storage import encryption, filesystem, known_header
from snapmirror.storage.encryption import Places
from snapmirror.storage.image import ImageRecord
from snapmirror.storage.open_store import OpenStore, failures_of, standing


@contextmanager
def looked_into(config: Config, image_config: ImageConfig, record: ImageRecord) -> Iterator[OpenStore]:
    """Open the store in the image for reading. The caller holds the image, of which nothing is open.

    It is not mounted at the store's own path: there the leftovers of a dead run would look like a browsed store.
    """
    if config.zfs is not None:
        with failures_of(config.store.path), standing(config, image_config, record, read_only=True) as opened:
            yield opened
        return
    file, copies = image_config.file, known_header.copies_of(config)
    places, key = Places(file), encryption.read_key(image_config)
    with failures_of(file), ExitStack() as stack:
        block = stack.enter_context(encryption.opened(file, record, key, copies, read_only=True))
        if not filesystem.is_whole(block.device, record):
            stack.close()
            with encryption.opened(file, record, key, copies) as writable:
                filesystem.check(writable.device, record, places.private)
            block = stack.enter_context(encryption.opened(file, record, key, copies, read_only=True))
        inside = stack.enter_context(filesystem.shown(block.device, record, places.private))
        yield OpenStore(inside, image=file, block=block, read_only=True)
