"""Temporary files that have no name: nothing is left of them, whatever ends the program."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

from snapmirror.errors import StorageError

_USUAL = ("/tmp", "/var/tmp")


def file() -> IO[bytes]:
    """A temporary file without a name, for reading and appending; in TMPDIR if that can be used, else in a usual place.

    Raises StorageError where none can be made. (Python's own search tests each folder with a file that a kill would
    leave behind.)
    """
    wanted = os.environ.get("TMPDIR")
    places = [*([wanted] if wanted and Path(wanted).is_dir() else []), *_USUAL]
    for place in places:
        try:
            return tempfile.TemporaryFile("ab+", dir=place)
        except OSError as error:
            reason = error.strerror
    raise StorageError(
        f"there is no folder in which temporary files can be made: {places[-1]}: {reason}",
        hint="make room in /tmp, or set TMPDIR to a folder that can be written",
    )
