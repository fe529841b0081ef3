"""The files of a server that decide who may log in: a restore to that server writes them last.

Otherwise an interrupted restore could not be repeated: the old `authorized_keys` may not hold the key that it needs.
"""

from __future__ import annotations

import os
import re

PATTERNS = (
    ".ssh/authorized_keys*",
    "etc/ssh/***",
    "etc/passwd", "etc/shadow", "etc/group", "etc/gshadow", "etc/shells", "etc/nologin",
    "etc/pam.d/***", "etc/security/***", "etc/nsswitch.conf", "etc/hosts.allow", "etc/hosts.deny", "etc/sudoers",
    "etc/sudoers.d/***", "etc/rsyncd.conf", "etc/rsyncd.secrets",
)  # fmt: skip
"""In the syntax of rsync's filters: each matches the end of a path, `***` a folder and all in it."""


def patterns(place: str) -> tuple[str, ...]:
    """The patterns for a source that is the folder `place` of the server, such as `/etc`."""
    parts = [part for part in place.split("/") if part]
    found = list(PATTERNS)
    for words in (pattern.split("/") for pattern in PATTERNS):
        found += (
            "/" + "/".join(words[number:])
            for number in range(1, len(words))
            if parts[-number:] == words[:number] and len(parts) >= number
        )
    return tuple(found)


def _expression(pattern: str) -> str:
    name = pattern.removesuffix("/***")
    deep = name != pattern
    return re.escape(name).replace(r"\*", "[^/]*") + ("(?:/.*)?" if deep else "")


_ANY = re.compile(b"(?:.*/)?(?:" + "|".join(map(_expression, PATTERNS)).encode() + b")", re.DOTALL)


def is_one(path: bytes, place: str = "/") -> bool:
    """Whether a path is such a file, or a folder of them; it is relative to the folder `place` of the server."""
    if path == b".":
        return False  # the source itself, which holds them
    return _ANY.fullmatch(os.fsencode(place).strip(b"/") + b"/" + path) is not None
