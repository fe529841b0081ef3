"""Copies the image: checks what the image holds before it replaces a good copy, and notes how the copying went.

`status` reports a copy that failed or is old.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from snapmirror import files
from snapmirror.config import Config, Destination
from snapmirror.errors import (
    DamageError,
    GuardError,
    Interrupted,
    LockedError,
    ShareLost,
    SnapmirrorError,
    UsageError,
)
from snapmirror.history.open import history_of
from snapmirror.model import NOTICE
from snapmirror.snapshots.manifest import Reader
from snapmirror.state import newest, summary
from snapmirror.storage.open_store import OpenStore

if TYPE_CHECKING:
    from snapmirror.storage.copier import CopyReport

log = logging.getLogger("snapmirror.copy")


def copy_and_remember(
    config: Config, destination: Destination | None = None, *, accept_changes: bool = False, **options: Any
) -> CopyReport:
    """Copy the image (see `storage.copy`), and note how that went. Raises SnapmirrorError.

    `accept_changes`: copy also an image older than the one that this machine knows. Nothing is noted if nothing was
    tried: a dry run, a mistyped command, a locked store.
    """
    from snapmirror.storage.copy import copy_image  # not at every start of a night, which is counted in milliseconds

    try:
        report = copy_image(config, destination, partial(_examine, config, accept_changes), **options)
    except (UsageError, LockedError):
        raise
    except SnapmirrorError as error:
        if not isinstance(error, Interrupted) or isinstance(error, ShareLost):
            _remember(config, summary.Copy(finished=time.time(), error=error.message, hint=error.hint))
        raise
    if report.result != "planned":
        now = time.time()
        _remember(config, summary.Copy(finished=now, last_success=now, warnings=tuple(report.warnings)))
    return report


def _examine(config: Config, accept_changes: bool, store: OpenStore) -> None:
    """Check that this is the store that this machine knows, and that it holds its newest snapshots."""
    for mirror in config.mirrors:
        history = history_of(store, mirror)
        snapshots = history.snapshots()
        if (sentence := newest.behind(config, mirror.name, snapshots)) is not None:
            if not accept_changes:
                raise GuardError(f"{sentence}; it is not copied over a good copy", hint=newest.HINT)
            log.log(NOTICE, "%s; copying it, as that is accepted", sentence)
        if not snapshots:
            continue
        if store.dataset is None and not history.tree(snapshots[0]).is_dir():
            raise DamageError(
                f"the newest snapshot of {mirror.name}, {snapshots[0].id}, is missing in the image",
                hint="'snapmirror verify' tells what else is; it is not copied over a good copy",
            )
        deque(Reader(history.manifest(snapshots[0])), maxlen=0)  # reads and so checks all of it


def _remember(config: Config, copy: summary.Copy) -> None:
    try:
        summary.keep_copy(config, copy)
    except (OSError, files.ForeignError) as error:
        log.warning("the result of the copy cannot be recorded: %s", files.why(error))
