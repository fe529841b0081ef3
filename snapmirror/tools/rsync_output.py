"""rsync(1): its lines of output and its exit codes. The command lines that make it print so are in `rsync`."""

from __future__ import annotations

import re

from msgspec import Struct

from snapmirror.errors import NoRoomError, SnapmirrorError, StumbledError, TransferError, UnreachableError
from snapmirror.tools import refusal

_CHECKSUM = 32
_ITEM = 11
"""Bytes of %i: `>f.st......`."""
_SAME = b"f".ljust(_ITEM - 1)
ONLY_TIME = b"..t......"
"""%i without its first two letters, if only the time differs."""

OK, PARTIAL, VANISHED = 0, 23, 24
SSH = 255
_LINE = 256
"""Not an exit code: ssh ended without a message. It reports why it cannot connect, but not that a line went dead."""
_PROTOCOL = 2
_STUMBLED = b"Invalid packet at end of run"
"""rsync 3.5.0, when the first name of a hard link group vanishes at the end: it requests one after the goodbye."""
_BROKEN_STREAM = 12
# only while it connects; the number of an errno, as in "Permission denied (13)", is rsync's
_SSH_SAYS = re.compile(r"Host key verification failed|Permission denied \([a-z]|^ssh: |^kex_exchange_identification: ")
_REFUSED = 5
_SOCKET = 10
_PASSING = frozenset({_SOCKET, 12, 30, 35, _LINE})
_PASSES = re.compile(
    r"Connection (refused|reset|closed|timed out)|Operation timed out|No route to host|Network is (unreachable|down)|"
    r"Host is down|Temporary failure in name resolution|Timeout, server|Broken pipe|Connection to .* closed|"
    r"max connections .* reached"
)
_STAYS = re.compile(
    r"Host key verification failed|Permission denied|Too many authentication|Unable to negotiate|"
    r"Name or service not known|No address associated|Could not resolve hostname .*: No such host"
)
_NOT_ASKED_FOR = re.compile(r"rejecting (excluded|unrequested) file-list name")
HOSTILE = "nothing was published; the server is broken, or hostile"
_LONGEST = 600  # characters of a complaint: two names of the greatest length
_FAILED_CHECK = b"failed verification"
_NO_SPACE = (b"No space left on device", b"Disk quota exceeded")
_LITERAL_LINE = re.compile(rb"Literal data: (\d+) bytes")
_RECEIVED_LINE = re.compile(rb"Total bytes received: (\d+)")


class Sent(Struct, frozen=True):
    """One line of a transfer: the entry's line as a manifest has it, and the MD5 of its content if it was sent.

    `is_same`: a file that differs in nothing that rsync has compared; `is_further`: and it is linked to another name,
    as on the other side.
    """

    line: bytes
    checksum: bytes
    is_same: bool = False
    is_further: bool = False


def is_entry(line: bytes) -> bool:
    """Whether a line printed in LIST_FORMAT is an entry, not a message of rsync's nor a name to be deleted."""
    return line[_ITEM : _ITEM + 1] == b"|" and line[:1] != b"*"


def parse_sent(raw: bytes, token: str) -> Sent | None:
    """An entry printed in SENT_FORMAT behind the token, as a listing would show it; None for any message."""
    word, _, rest = raw.partition(b"|")
    checksum, _, line = rest.partition(b"|")
    if word != token.encode() or len(checksum) != _CHECKSUM or not is_entry(line):
        return None
    return Sent(as_new(line), checksum.strip(), line[1:_ITEM] == _SAME, line[:1] == b"h")


def as_new(line: bytes) -> bytes:
    """An entry in the form of a listing against nothing, whatever rsync reports of it here."""
    kind = line[1:2]
    linked = line[:1] == b"h" and b"| => " in line  # without it: copied from the basis, not linked to another name
    first = b"h" if linked else b">" if kind == b"f" else b"c"
    return first + kind + b"+++++++++" + line[_ITEM:]


def literal_bytes(raw: bytes) -> int:
    """Bytes of file content that were sent, if this line of --stats gives them; else 0."""
    match = _LITERAL_LINE.fullmatch(raw)
    return int(match[1]) if match else 0


def received_bytes(raw: bytes) -> int:
    """Bytes that came over the line, compressed or not, if this line of --stats gives them; else 0."""
    match = _RECEIVED_LINE.fullmatch(raw)
    return int(match[1]) if match else 0


def complaints(stderr: bytes, most: int = 20, *, good: bool = False) -> list[str]:
    """rsync's complaints, for people: without its closing line, banners and the noise of login scripts.

    If rsync printed none, those of other programs; not after a good end (`good`), where they do not count.
    """
    lines = _lines(stderr)
    lines = [line for line in lines if refusal.is_own(line)] or ([] if good else lines)
    return [
        *(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in lines[:most]),
        *([f"and {len(lines) - most} more"] if len(lines) > most else []),
    ]


def _lines(stderr: bytes) -> list[str]:
    lines = [line.strip() for line in stderr.decode("utf-8", "backslashreplace").splitlines()]
    lines = [line for line in lines if any(map(str.isalnum, line))]
    return [
        line for line in lines if not line.startswith(("rsync error:", "rsync warning:", "rsync: connection unexp"))
    ]


_MEANING: dict[int, tuple[str, str]] = {
    1: ("rsync refused its own options", "the rsync on one side is too old; 'snapmirror doctor' shows both"),
    2: ("the two rsyncs do not understand each other", "a login script that prints something breaks the protocol"),
    3: ("rsync refused a path", "is a folder of the store a symlink, or owned by someone else?"),
    4: ("rsync on the server lacks a feature", "turn off acls or xattrs for this mirror, or upgrade rsync there"),
    5: ("the rsync daemon refused", "check module name, user and password_file"),
    _SOCKET: ("the connection broke", "the next try goes on from here"),
    11: ("reading or writing a file failed", "look at the messages of the kernel (dmesg) on both sides"),
    12: ("the data stream broke off", "the ssh connection or rsync on the server ended early; the next try goes on"),
    13: ("rsync failed in its own diagnostics", "run it again with --verbose"),
    14: ("rsync could not talk to its own parts", "is the machine out of memory or processes?"),
    20: ("rsync was stopped by a signal", "the next try goes on from here"),
    21: ("a part of rsync died", "the next try goes on from here"),
    22: ("rsync ran out of memory", "give the machine more memory, split the mirror, or raise max_entries"),
    25: ("rsync stopped at its limit of deletions", "nothing was deleted"),
    30: ("nothing moved for too long", "raise timeout_seconds, or find out why the server stalls"),
    35: ("the rsync daemon did not answer in time", "is the server up, and the port open?"),
    124: ("the command on the server was killed", "look at the server's log"),
    125: ("the command on the server was killed", "look at the server's log"),
    126: ("the command on the server cannot be run", "check rsync_path"),
    127: ("there is no rsync on the server", "install it there, or set rsync_path"),
    SSH: ("ssh could not connect", "'snapmirror doctor' shows whether it is the host, its key or yours"),
    _LINE: ("the ssh connection broke off", "did the server, or the line, fail? the next try goes on from here"),
}


def failure(exit_code: int, stderr: bytes, what: str) -> SnapmirrorError:
    """The error for an exit code that ends the night. `what` names what was being done."""
    reasons = [line[:_LONGEST] for line in _lines(stderr)]
    if exit_code == _BROKEN_STREAM and any(map(_SSH_SAYS.search, reasons)):
        exit_code = SSH  # it read the end of the data before ssh's exit code: the order is chance
    # A vanished file is no reason to end.
    reasons = refusal.told([reason for reason in reasons if not reason.startswith("file has vanished")] or reasons)
    if exit_code == SSH:
        reasons.sort(key=refusal.is_own)
    if exit_code == SSH and all(map(refusal.is_own, reasons)):  # ssh itself said nothing
        exit_code = _LINE
    detail = f" ({reasons[0]})" if reasons else ""
    if is_full(stderr):
        return NoRoomError(f"{what}: the store is full{detail}", hint="make room, or keep fewer snapshots")
    if any(map(_NOT_ASKED_FOR.search, reasons)):
        return TransferError(f"{what}: the server sends names that were not asked for{detail}", hint=HOSTILE)
    if exit_code < 0:
        return TransferError(f"{what}: rsync was killed by signal {-exit_code}", hint="the next try goes on from here")
    if exit_code == PARTIAL:
        return TransferError(
            f"{what}: some files could not be read{detail}", hint='exclude them, or set on_unreadable = "publish"'
        )
    if (refused := refusal.refusal(exit_code, stderr)) is not None:
        return TransferError(f"{what}: {refused.message} ({refused.says})", hint=refused.hint)
    meaning, hint = _MEANING.get(exit_code, (f"rsync ended with {exit_code}", "its manual explains the number"))
    if exit_code == _PROTOCOL and _STUMBLED in stderr:
        return StumbledError(f"{what}: the source changes too fast for rsync{detail}", hint="the next try goes on")
    if exit_code == _SOCKET and any("failed to connect" in reason for reason in reasons):
        meaning, hint = "there is no rsync daemon", "is it running there, and its port open?"
    kind = UnreachableError if _may_pass(exit_code, reasons) else TransferError
    return kind(f"{what}: {meaning}{detail}", hint=hint)


def _may_pass(exit_code: int, reasons: list[str]) -> bool:
    """Whether the network or an absent server caused a failure, so that nobody has to mend anything first."""
    if any(map(_STAYS.search, reasons)):
        return False
    return exit_code in _PASSING or any(map(_PASSES.search, reasons if exit_code in {SSH, _REFUSED} else ()))


def may_have_failed_checks(stderr: bytes, written: int) -> bool:
    """Whether it may have complained that a file's content failed its check; `stderr` is the end of what was written.

    Such a file is kept, or not, with a line and a checksum as if it had arrived.
    """
    return written > len(stderr) or _FAILED_CHECK in stderr


def is_full(stderr: bytes) -> bool:
    """Whether rsync ran out of space or inodes; it reports only a partial transfer then."""
    return any(text in stderr for text in _NO_SPACE)
