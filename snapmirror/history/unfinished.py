"""Completes what a dead program has begun to remove, before a store is used."""

from __future__ import annotations

import logging
import os

from snapmirror import folder
from snapmirror.config import Config
from snapmirror.storage.open_store import OpenStore

log = logging.getLogger("snapmirror.histories")


def complete_removal(config: Config, store: OpenStore) -> None:
    """Complete the removal of a history that is being retired. The caller holds the lock.

    Raises SnapmirrorError.
    """
    if os.path.lexists(store.path / folder.RETIREMENTS):
        from snapmirror.history.retiring import finish  # not at every start, which is counted in milliseconds

        if (name := finish(config, store)) is not None:
            log.info("removed the rest of the retired history of %s", name)
