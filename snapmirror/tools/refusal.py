"""Why the other side refused to begin, in words: a login that runs no rsync, a restricted key, a password file.

Decided by the messages, not by rsync's exit code: whether rsync first notices the end of the data (12) or of the
command on the server (1, 127, …) is chance. Runs no program.
"""

from __future__ import annotations

import re

from msgspec import Struct

_CODES = frozenset({1, 2, 3, 5, 12, 126, 127})
"""Exit codes of rsync for a session that never began."""
_OWN = re.compile(
    r"rsync: |file has vanished|IO error|ERROR: |WARNING: |rejecting |received |cannot |could not |failed |skipping |"
    r"symlink has no referent|file-?list |overflow|Invalid |unexpected |@ERROR"
)
_BY_SSH = re.compile(
    r"Host key verification failed|Too many authentication|Unable to negotiate|"
    r"(ssh|ssh_[a-z_]*|kex_[a-z_]*|client_loop|banner exchange): |Timeout, server|"
    r"Received disconnect|Disconnected from|Connection (closed|reset|to|timed out)"
)
_COMPRESSION = re.compile(rb"configured to refuse --(new-|old-)?compress|rrsync error: option .*compress")
_NEVER_SPOKE = "(0 bytes received so far)"
_UPGRADE = "upgrade rsync there, its rrsync knows fewer options than ours uses"


class Refusal(Struct, frozen=True):
    """What was refused, and what to do about it. `says` is the line that shows it."""

    message: str
    hint: str
    says: str


_NO_RSYNC = ("there is no rsync on the server", "install it there, or set rsync_path")
_KNOWN: tuple[tuple[str, str, str], ...] = (
    (r"password file must not be other-accessible", "password_file can be read by others", "chmod 600 that file"),
    (r"password file must be owned by root", "password_file belongs to another user", "chown root that file"),
    (r"failed to read a password from", "password_file holds no password", "write it into that file, alone"),
    (r"could not open password file", "password_file cannot be read", "correct its path, owner or mode"),
    (
        r"rrsync: .*(not found|bad interpreter|No such file)|env: .*python\d?\W.*: (No such file|Permission denied)",
        "rrsync does not run on the server: it, or the python3 that it needs, is missing",
        "apt-get install rsync python3 there, and check command= in its authorized_keys",
    ),
    (
        r"rrsync: .*Permission denied",
        "rrsync on the server may not be run",
        "chmod 755 it there, and check command= in its authorized_keys",
    ),
    (r"FileNotFoundError: .*'[^']*\brsync'|Can't exec .*\brsync", *_NO_RSYNC),
    (
        r"rrsync error: (Restricted directory does not exist|unable to chdir)",
        "the folder that the key is restricted to is missing",
        "is it mounted there? correct it in command= in the server's authorized_keys",
    ),
    (r"rrsync error: (invalid rsync-command|option )", "rrsync on the server refuses our options", _UPGRADE),
    (r"rrsync error: ", "rrsync on the server refuses", "correct command= in the server's authorized_keys"),
    (r"(^|[\s/'\"])rsync['\"]?: ((command )?not found|No such file or directory$)", *_NO_RSYNC),
    (
        r"^sudo: .*(password is required|terminal is required|no tty present)|not in the sudoers",
        "sudo on the server asks for a password",
        "allow rsync there, with visudo: NAME ALL=(root) NOPASSWD: /usr/bin/rsync",
    ),
    (r": (command )?not found$", "a command is missing on the server", "install it there, or correct rsync_path"),
    (
        r"is your shell clean",
        "what runs on the server is not rsync, or something prints before it",
        "make sure that no login script prints anything; check rsync_path, and the user's shell",
    ),
)


def is_of_compression(stderr: bytes) -> bool:
    """Whether a daemon (`refuse options`) or a restricted key refuses to compress."""
    return _COMPRESSION.search(stderr) is not None


def is_own(line: str) -> bool:
    """Whether a line on stderr is rsync's; else it is ssh's, a shell's, or a banner."""
    return _OWN.match(line) is not None


def told(lines: list[str]) -> list[str]:
    """rsync's own lines first; of the others the last shows the cause: banners and login scripts come before it."""
    return [*filter(is_own, lines), *(line for line in reversed(lines) if not is_own(line))]


def refusal(exit_code: int, stderr: bytes) -> Refusal | None:
    """The refusal, if the other side refused to begin with a known message; None otherwise."""
    text = stderr.decode("utf-8", "backslashreplace")
    if is_of_compression(stderr):
        says = next(line for line in text.splitlines() if _COMPRESSION.search(line.encode()))
        return Refusal("the server refuses to compress", 'set compress = "off" for this mirror', says[:600])
    never_spoke = _NEVER_SPOKE in text
    if exit_code not in _CODES or not (never_spoke or "password" in text or "shell clean" in text):
        return None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("rsync: connection unexp", "rsync error:"))]
    if any(map(_BY_SSH.match, lines)) or any("Permission denied (" in line and not is_own(line) for line in lines):
        return None  # no command was started
    for sign, message, hint in _KNOWN:
        for line in reversed(lines):
            if re.search(sign, line):
                return Refusal(message, hint, line[:600])
    if never_spoke and lines and not any(map(is_own, lines)):
        return Refusal(
            "the command on the server ended before rsync began",
            "run it there by hand; check rsync_path, command= in its authorized_keys, and login scripts",
            lines[-1][:600],
        )
    return None
