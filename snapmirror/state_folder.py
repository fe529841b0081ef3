"""The state folder: where the files of a store lie that are not in the store itself. Runs no program.

These are the lock of its runs (of an image or a pool), the locks of the export, and what a run leaves for the next and
for those who ask (report, status, names, log of the nights). Every store has its own, so several may share a folder.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from snapmirror.config import Config
from snapmirror.errors import StorageError


def make(config: Config) -> None:
    """Make the state folder if it is missing. Raises StorageError."""
    folder = config.store.state_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageError(
            f"the folder {folder} for locks and reports cannot be made: {error.strerror}",
            hint="set state_dir in [store]",
        ) from error


def state_file(config: Config, suffix: str) -> Path:
    """A file of this store in the state folder, called by the image where there is one, else by the folder."""
    what = str(config.image.file if config.image else config.store.path)
    return config.store.state_dir / f"{hashlib.sha256(os.fsencode(what)).hexdigest()[:16]}{suffix}"
