"""The environment that programs get: the variables that they need, and none that are set for people. And TMPDIR.

Many variables change what a program does or prints: `RSYNC_ICONV` renames files, `RSYNC_MAX_ALLOC` and
`POSIXLY_CORRECT` make rsync refuse its options, `BLKID_FILE` and `LIBMOUNT_FSTAB` name other files, `SSH_ASKPASS`
opens a window. A list of the harmful ones would never be complete. So only these are passed on.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

from snapmirror.errors import StorageError

_USUAL = ("/tmp", "/var/tmp")
_PASSED = frozenset(
    (
        "PATH", "HOME", "USER", "LOGNAME", "TMPDIR",
        "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR",  # how to reach keys: an agent's
        "KRB5CCNAME", "KRB5_CONFIG", "KRB5_CLIENT_KTNAME",  # or tickets
        "LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "LOCPATH",  # how programs are started at all on this machine
        "http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    )
)  # fmt: skip
"""Without SHELL: ssh would start its ProxyCommand with it, and ours is written for sh, the default.

The proxies are for the program that ssh's ProxyCommand starts; rsync uses RSYNC_PROXY instead.
"""
_PASSED_BEGINNINGS = ("SNAPMIRROR_", "FAKETIME", "NO_FAKE_STAT", "FAKE_UTIME")
"""Our mark on each descendant, and libfaketime's: a run under another clock passes that clock to its programs."""
_FIXED = {"LC_ALL": "C", "TZ": "UTC"}


def passed_on(program: str = "") -> dict[str, str]:
    """The environment that a program is started with.

    rsync gets no HOME: ~/.popt there may hold aliases that give its options another meaning, or add some ("rsync alias
    --links --copy-links --exclude=…"). Its ssh gets it back, see `tools.ssh`.
    """
    kept = {key: value for key, value in os.environ.items() if key in _PASSED or key.startswith(_PASSED_BEGINNINGS)}
    if program == "rsync":
        kept.pop("HOME", None)
    return kept | _FIXED


def whole() -> dict[str, str]:
    """The whole environment, for a program that the configuration names: we do not know what it needs."""
    return dict(os.environ) | _FIXED


def temporary_folders() -> list[str]:
    """The folders for temporary files, the preferred one first: TMPDIR, if it is a folder, then the usual ones."""
    wanted = os.environ.get("TMPDIR")
    return [*([wanted] if wanted and Path(wanted).is_dir() else []), *_USUAL]


def temporary_file() -> IO[bytes]:
    """A file without a name, to append to and to read; in TMPDIR if that can be used, else in a usual place.

    Raises StorageError where none can be made. (Python's own search tests each folder with a file that a kill would
    leave behind.)
    """
    reason = None
    for place in temporary_folders():
        try:
            return tempfile.TemporaryFile("ab+", dir=place)
        except OSError as error:
            reason = error.strerror
    raise StorageError(
        f"there is no folder in which temporary files can be made: {_USUAL[-1]}: {reason}",
        hint="make room in /tmp, or set TMPDIR to a folder that can be written",
    )
