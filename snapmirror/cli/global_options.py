"""Accepts options of the whole program at any place: people type `snapmirror run --quiet`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "SNAPMIRROR_CONFIG"
SYSTEM_CONFIG = Path("/etc/snapmirror/snapmirror.toml")
_FLAGS = frozenset({"--quiet", "-q", "--verbose", "-v"})
_WITH_VALUE = "--config"


def in_front(argv: Sequence[str]) -> list[str]:
    """The same words with these options before the command. Words after `--` are not options."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in _FLAGS or word.startswith(f"{_WITH_VALUE}="):
            first.append(word)
        elif word == _WITH_VALUE:
            first += [word, *(value for value in [next(words, None)] if value is not None)]
        else:
            rest.append(word)
    return [*first, *rest]


def default_config() -> Path:
    """The configuration if none is named: SNAPMIRROR_CONFIG; for an ordinary user who has one, his own."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    own = Path(folder).expanduser() / "snapmirror" / "snapmirror.toml"
    return own if os.geteuid() and os.access(own, os.R_OK) else SYSTEM_CONFIG
