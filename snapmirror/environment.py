"""The environment that programs get: the variables that they need, and none that are set for people.

Many variables change what a program does or prints: `RSYNC_ICONV` renames files, `RSYNC_MAX_ALLOC` and
`POSIXLY_CORRECT` make rsync refuse its options, `BLKID_FILE` and `LIBMOUNT_FSTAB` name other files, `SSH_ASKPASS`
opens a window. A list of the harmful ones would never be complete. So only these are passed on.
"""

from __future__ import annotations

import os

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
