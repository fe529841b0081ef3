"""Can a source be reached, and if not, why? Programs: rsync, which starts ssh.

One listing of the source's own folder, without subfolders: it uses the same way in as a night (host key, login,
restricted keys, path), and works where a key may run nothing but rsync.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from snapmirror.errors import UsageError
from snapmirror.process import ProgramTimeout, run
from snapmirror.tools import rsync
from snapmirror.tools.refusal import Refusal, is_own, refusal

SECONDS = 60.0

Obstacle = Literal[
    "unknown host key", "changed host key", "login refused", "unreachable", "refused", "no path", "other"
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
    ("No such file or directory (2)", "no path"),
    ("Not a directory (20)", "no path"),
    ("Permission denied (13)", "login refused"),
)


_KEY_OF = re.compile(r"host key is known for (\S+) and you have|^Host key for (\S+) has changed", re.MULTILINE)


class Answer(Struct, frozen=True):
    """A source's answer: how many entries lie directly in its folder, or what prevented an answer.

    `host` is the one whose key is unknown or has changed, as files of known hosts name it; it may be a jump host.
    `refusal`: what a server that was reached has refused.
    """

    entries: int
    obstacle: Obstacle | None
    complaint: str
    host: str = ""
    refusal: Refusal | None = None


def reach(location: rsync.Location) -> Answer:
    """Ask the source for the names in its folder."""
    try:
        argv = ["rsync", "--list-only", "--dirs", "--timeout=30", *rsync.connection(location), location.argument]
        done = run(argv, ok=range(-64, 256), timeout=SECONDS)
    except ProgramTimeout:
        return Answer(0, "unreachable", f"no answer within {SECONDS:g} seconds")
    except UsageError as missing:
        return Answer(0, "refused", "", refusal=Refusal(missing.message, missing.hint, ""))
    if done.exit_code == 0:
        names = [line for line in done.stdout.splitlines() if re.match(rb"[dlcbps-][rwxsStT-]{9}", line)]
        return Answer(max(0, len(names) - 1), None, "")  # the first is the folder itself
    said = done.stderr.decode("utf-8", "backslashreplace")
    if (refused := refusal(done.exit_code, done.stderr)) is not None:
        return Answer(0, "refused", refused.says, refusal=refused)
    obstacle: Obstacle = next((what for sign, what in _SIGNS if sign in said), "other")
    complaint = _first(said) or f"rsync ended with {done.exit_code}"
    whose = _KEY_OF.search(said) if obstacle in ("unknown host key", "changed host key") else None
    return Answer(0, obstacle, complaint, host=(whose[1] or whose[2]) if whose else "")


def _first(said: str) -> str:
    """The first informative line: ssh and rsync put the cause first and general remarks last."""
    lines = [line.strip() for line in said.splitlines()]
    telling = [line for line in lines if line and not line.startswith(("@", "rsync error", "rsync: connection unexp"))]
    own = [line for line in telling if is_own(line)]
    return next(iter(own or telling), "")
