"""What programs get to see of our environment: what they need, and nothing that is set for people.

Many variables change what a program does or prints: `RSYNC_ICONV` renames files, `RSYNC_MAX_ALLOC` and
`POSIXLY_CORRECT` make rsync refuse its options, `BLKID_FILE` and `LIBMOUNT_FSTAB` name other files, `SSH_ASKPASS`
opens a window. A list of the harmful ones would never be complete. So these pass, and no others.
"""

from __future__ import annotations

import os

_PASSED = frozenset(
    (
        "PATH", "HOME", "USER", "LOGNAME", "TMPDIR",
        "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR",  # where keys are: an agent's
        "KRB5CCNAME", "KRB5_CONFIG", "KRB5_CLIENT_KTNAME",  # or tickets
        "LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "LOCPATH",  # how programs are started at all on this machine
        "http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    )
)  # fmt: skip
"""Without SHELL: ssh starts its ProxyCommand with it, and ours is written for sh, which it takes otherwise.

The proxies are for what a ProxyCommand of ssh starts; rsync has one of its own (RSYNC_PROXY).
"""
_PASSED_BEGINNINGS = ("SNAPMIRROR_", "FAKETIME", "NO_FAKE_STAT", "FAKE_UTIME")
"""Our own mark on each descendant, and libfaketime's: a run under another clock is so with all its programs."""
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
    """All of it, for a program that the configuration names: what it needs is not known to us."""
    return dict(os.environ) | _FIXED
