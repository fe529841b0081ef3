"""The files of a server that decide who may log in: a restore to that server writes them last.

Otherwise an interrupted restore could not be repeated: the old `authorized_keys` may not hold the key that it needs.
"""

from __future__ import annotations

import re

PATTERNS = (
    ".ssh/authorized_keys*",
    "etc/ssh/***",
    "etc/passwd", "etc/shadow", "etc/group", "etc/gshadow", "etc/shells", "etc/nologin",
    "etc/pam.d/***", "etc/security/***", "etc/nsswitch.conf", "etc/hosts.allow", "etc/hosts.deny", "etc/sudoers",
    "etc/sudoers.d/***", "etc/rsyncd.conf", "etc/rsyncd.secrets",
)  # fmt: skip
"""In the syntax of rsync's filters: each matches the end of a path, `***` a folder and all in it."""


def _expression(pattern: str) -> str:
    name = pattern.removesuffix("/***")
    return re.escape(name).replace(r"\*", "[^/]*") + ("(?:/.*)?" if name != pattern else "")


_ANY = re.compile(b"(?:.*/)?(?:" + "|".join(map(_expression, PATTERNS)).encode() + b")", re.DOTALL)


def is_one(path: bytes) -> bool:
    """Whether a path, relative to the source, is such a file, or a folder of them."""
    return _ANY.fullmatch(path) is not None
