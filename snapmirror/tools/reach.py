"""Can a source be reached, and if not, why? Programs: rsync, which starts ssh.

One listing of the source's own folder, without its contents: it takes the very way that a night takes (host key, login,
restricted keys, path), and works where a key may run nothing but rsync.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from snapmirror.config import MirrorConfig
from snapmirror.errors import UsageError
from snapmirror.process import ProgramTimeout, run
from snapmirror.tools import rsync

SECONDS = 60.0

Obstacle = Literal[
    "unknown host key", "changed host key", "login refused", "unreachable", "no rsync", "no path", "other"
]
_SIGNS: tuple[tuple[str, Obstacle], ...] = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "changed host key"),
    ("Host key verification failed", "unknown host key"),
    ("Permission denied (", "login refused"),
    ("Too many authentication failures", "login refused"),
    ("auth failed on module", "login refused"),
    ("password_file", "login refused"),
    ("password file", "login refused"),
    ("Unknown module", "no path"),
    ("Could not resolve hostname", "unreachable"),
    ("Name or service not known", "unreachable"),
    ("Temporary failure in name resolution", "unreachable"),
    ("Connection refused", "unreachable"),
    ("No route to host", "unreachable"),
    ("Network is unreachable", "unreachable"),
    ("Connection timed out", "unreachable"),
    ("timed out", "unreachable"),
    ("Connection closed by", "unreachable"),
    ("Connection reset by", "unreachable"),
    ("rsync: not found", "no rsync"),
    ("rsync: command not found", "no rsync"),
    ("rsync: No such file or directory\n", "no rsync"),  # the shell's; rsync's own has a number behind it
    ("No such file or directory (2)", "no path"),
    ("Not a directory (20)", "no path"),
    ("Permission denied (13)", "login refused"),
)


@dataclass(frozen=True)
class Answer:
    """What a source answered: how many entries lie directly in its folder; or what stood in the way."""

    entries: int
    obstacle: Obstacle | None
    complaint: str


def reach(mirror: MirrorConfig) -> Answer:
    """Ask the source for the names in its folder."""
    argv = ["rsync", "--list-only", "--dirs", "--timeout=30", *rsync.connection(mirror), mirror.source.rsync_argument]
    try:
        done = run(argv, ok=range(-64, 256), timeout=SECONDS)
    except ProgramTimeout:
        return Answer(0, "unreachable", f"no answer within {SECONDS:g} seconds")
    except UsageError as missing:
        return Answer(0, "other", missing.message)
    if done.exit_code == 0:
        names = [line for line in done.stdout.splitlines() if re.match(rb"[dlcbps-][rwxsStT-]{9}", line)]
        return Answer(max(0, len(names) - 1), None, "")  # the first is the folder itself
    said = done.stderr.decode("utf-8", "backslashreplace")
    if done.exit_code == 127:
        return Answer(0, "no rsync", _first(said))
    obstacle: Obstacle = next((what for sign, what in _SIGNS if sign in said), "other")
    return Answer(0, obstacle, _first(said) or f"rsync ended with {done.exit_code}")


def _first(said: str) -> str:
    """The first line that tells something: ssh and rsync put the cause first and general remarks last."""
    lines = [line.strip() for line in said.splitlines()]
    telling = [line for line in lines if line and not line.startswith(("@", "rsync error", "Warning: Permanently"))]
    return telling[0] if telling else ""
