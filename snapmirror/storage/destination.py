"""The destination of a copy of the image: a folder of this machine, or one on a share, which is mounted meanwhile.

Runs no program itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from snapmirror.config import Config, CopyConfig, Destination, ShareConfig
from snapmirror.errors import StorageError, UsageError
from snapmirror.storage import share
from snapmirror.storage.locks import Rank

_FORBIDDEN = re.compile(r'[\\:*?"<>|]')


class Target(Struct, frozen=True):
    """The file of the copy, and its name for people."""

    copy: Path
    shown: str


def share_of(config: Config, destination: Destination) -> ShareConfig | None:
    """The share to mount for this destination; None for a folder. [copy], or else [share], says how to reach it."""
    if isinstance(destination, Path):
        return None
    settings = config.image_copy
    credentials = (settings and settings.credentials) or (config.share and config.share.credentials)
    if not credentials:
        raise UsageError(f"{destination} cannot be reached without credentials", hint="set credentials in [copy]")
    defaults = CopyConfig.model_fields
    return ShareConfig(
        unc=destination,
        credentials=credentials,
        port=settings.port if settings else defaults["port"].default,
        mount_point=settings.mount_point if settings else defaults["mount_point"].default,
        **({"lost_after_seconds": config.share.lost_after_seconds} if config.share else {}),
    )


@contextmanager
def mounted(config: Config, destination: Destination) -> Iterator[Target]:
    """Make the destination writable. Raises StorageError when it is missing."""
    assert config.image is not None
    name, place = config.image.file.name, share_of(config, destination)
    with share.mounted(place, Rank.COPY_SHARE):
        if place is None:
            folder = Path(destination)
            if not folder.is_dir():
                raise StorageError(
                    f"{folder} is not there",
                    hint="is the disk plugged in and mounted? Name a folder on it, not the place where it is mounted: "
                    "then a missing disk is noticed",
                )
            yield Target(folder / name, str(folder / name))
            return
        if _FORBIDDEN.search(name):
            raise UsageError(f"{name} is no name that Windows takes", hint="rename the image")
        yield Target(place.mount_point / name, f"{place.unc}/{name}")
