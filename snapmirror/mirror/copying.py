"""The copy of the image, and what is remembered of it: `status` says when the last one failed, or is old."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from snapmirror import files
from snapmirror.config import Config, Destination
from snapmirror.errors import Interrupted, LockedError, ShareLost, SnapmirrorError, UsageError
from snapmirror.mirror import memory

if TYPE_CHECKING:
    from snapmirror.storage.copier import CopyReport

log = logging.getLogger("snapmirror.copy")


def copy_and_remember(config: Config, destination: Destination | None = None, **options: Any) -> CopyReport:
    """Copy the image (see `storage.copy`), and remember how that went. Raises SnapmirrorError.

    What was not tried is not remembered: a dry run, a command that was mistyped, a store that is locked.
    """
    from snapmirror.storage.copy import copy_image  # not at every start of a night, which is counted in milliseconds

    try:
        report = copy_image(config, destination, **options)
    except (UsageError, LockedError):
        raise
    except SnapmirrorError as error:
        if not isinstance(error, Interrupted) or isinstance(error, ShareLost):
            _remember(config, memory.Copy(finished=time.time(), error=error.message, hint=error.hint))
        raise
    if report.result != "planned":
        now = time.time()
        _remember(config, memory.Copy(finished=now, last_success=now, warnings=tuple(report.warnings)))
    return report


def _remember(config: Config, copy: memory.Copy) -> None:
    try:
        memory.keep_copy(config, copy)
    except files.ForeignError as error:
        log.warning("how the copy went cannot be remembered: %s", error.message)
    except OSError as error:
        log.warning("how the copy went cannot be remembered: %s: %s", error.filename, error.strerror)
