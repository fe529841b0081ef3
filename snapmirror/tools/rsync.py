"""rsync(1): its command lines, its lines of output and its exit codes.

Minimum 3.2.3; 3.5.0 is what all of this was measured with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from snapmirror.config import MirrorConfig
from snapmirror.config.source import Source
from snapmirror.errors import NoRoomError, SnapmirrorError, StumbledError, TransferError, UnreachableError
from snapmirror.tools import refusal, ssh

LIST_FORMAT = "%i|%B|%U|%G|%l|%M|%L//%n"
SENT_FORMAT = "%C|%i|%B|%U|%G|%l|%M|%L//%n"
"""Two slashes stand in no name: they tell where it begins."""
_CHECKSUM = 32
_ITEM = 11
"""Bytes of %i: `>f.st......`."""

NOWHERE = "/.snapmirror-nothing/"
"""A place that is never made: dry runs compare with it."""

OK, PARTIAL, VANISHED = 0, 23, 24
_SSH = 255
_LINE = 256
"""No exit code: ssh's, without a word; it tells why it cannot connect, but not that the other side fell silent."""
_PROTOCOL = 2
_STUMBLED = b"Invalid packet at end of run"
"""rsync 3.5.0, when the first name of a hard link group vanishes at the end: it asks for another after the goodbye."""
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
_HOSTILE = "nothing was published; the server is broken, or hostile"
_LONGEST = 600  # characters of a complaint: two names as long as can be
_NO_SPACE = (b"No space left on device", b"Disk quota exceeded")
_LITERAL_LINE = re.compile(rb"Literal data: (\d+) bytes")


@dataclass(frozen=True)
class Sent:
    """One line of a transfer: the entry's line as a manifest has it, and the MD5 of its content if it travelled."""

    line: bytes
    checksum: bytes


def listing_argv(mirror: MirrorConfig, *, whole: bool) -> list[str]:
    """List the whole source: a dry run into a folder that does not exist, so that everything is new.

    `whole`: both rsyncs hold the whole list before a line is printed (85 bytes an entry on the server), instead of
    agreeing on it folder by folder, which takes them a third more time.
    """
    return [
        *_common(mirror), "--dry-run", f"--out-format={LIST_FORMAT}",
        *(["--no-inc-recursive"] if whole else []),
        *(["--super"] if os.geteuid() else []),  # else an ordinary user is not told the groups
        *(["--info=skip1"] if mirror.max_size is not None or mirror.min_size is not None else []),  # which they hit
        *_filters(mirror), *connection(mirror), mirror.source.rsync_argument, NOWHERE,
    ]  # fmt: skip


def tree_argv(mirror: MirrorConfig, tree: Path) -> list[str]:
    """List a snapshot's own tree in the same way, to make a new manifest of it."""
    fake = ["--fake-super"] if mirror.fake_super else []
    return [*_common(mirror), *fake, "--dry-run", f"--out-format={LIST_FORMAT}", f"{tree}/", NOWHERE]


def check_argv(mirror: MirrorConfig, tree: Path, *, listed: bool = False) -> list[str]:
    """Compare the source with a snapshot's tree itself, ACLs and xattrs included: lists what differs.

    `listed`: only of the names that are given to stdin (see `listed_name`, NUL after each).
    It must not stumble over a folder in the place of a file: rsync (3.5.0) waits for ever if that file has two names.
    """
    return [
        *_common(mirror, recursive=not listed), *_extras(mirror), "--dry-run", "--force", "--modify-window=-1",
        f"--out-format={LIST_FORMAT}",
        *(["--files-from=-", "--from0", "--no-implied-dirs", "--ignore-missing-args"] if listed else _filters(mirror)),
        *connection(mirror), (_base(mirror.source) if listed else mirror.source).rsync_argument, f"{tree}/",
    ]  # fmt: skip


def transfer_argv(
    mirror: MirrorConfig,
    names: Path | None,
    target: Path,
    *,
    basis: Path | None,
    scratch: Path,
    partial: Path,
    patch: bool,
    token: str,
) -> list[str]:
    """Fetch the names that the file `names` holds (NUL after each) into `target`; without one, the root folder alone.

    (The root cannot stand among the names: rsync would take its contents along.)

    `target` must be a tree in which no name leads to an inode of a snapshot: rsync (3.5.0) takes names that nobody
    asked for inside a folder that was asked for. `basis` is the last snapshot: what is there need not travel again. It
    is --copy-dest, not --link-dest: what is asked for gets an inode of its own, always. A local source is copied from
    at once: to look for old versions would cost the store as much. `patch`: the names stand in `target` in an older
    version and are patched in place. `token` is a word that the server cannot know: its messages are printed among
    rsync's own lines, and could look like them.
    """
    how = ["--inplace", "--no-whole-file"] if patch else [f"--temp-dir={scratch}", f"--partial-dir={partial}"]
    return [
        *_common(mirror, recursive=False), *_extras(mirror), *how,
        *([f"--files-from={names}", "--from0"] if names else ["--exclude=*"]),
        "--no-implied-dirs",            # folders that were not asked for stay as they are
        "--ignore-missing-args",        # gone since the listing: a vanished file, not an error
        "--itemize-changes", "--itemize-changes",  # what is there already gets a line as well
        "--modify-window=-1",           # a folder changed in this very second has its nanoseconds, too
        "--checksum-choice=md5",        # known to every rsync, and to md5sum; %C reports it
        f"--out-format={token}|{SENT_FORMAT}", "--stats", "--no-human-readable",
        *([f"--copy-dest={basis}"] if basis and not patch and mirror.source.kind != "local" else []),
        *([] if patch else ["--sparse"]),
        *([f"--bwlimit={mirror.bandwidth_limit // 1024 or 1}"] if mirror.bandwidth_limit else []),
        *connection(mirror), (_base(mirror.source) if names else mirror.source).rsync_argument, f"{target}/",
    ]  # fmt: skip


def spoil_time(file: bytes, mtime: int) -> None:
    """Let a file's time not look right to rsync, which then compares what is in it. `mtime`: the right one, seconds."""
    os.utime(file, (0, mtime ^ 1), follow_symlinks=False)


def listed_name(mirror: MirrorConfig, path: bytes) -> bytes:
    """A name as the list for `transfer_argv` has it.

    A daemon is asked for its whole module: rsync 3.5.0's, without chroot, looks for listed names in the wrong folder if
    it is asked for one inside. Without ./ a name that begins with # or ; would be a comment.
    """
    inside = mirror.source.path.strip("/") if mirror.source.kind == "daemon" else ""
    return os.fsencode(f"{inside}/./" if inside else "./") + path


def _base(source: Source) -> Source:
    return replace(source, path="/") if source.kind == "daemon" else source


def back_argv(
    mirror: MirrorConfig,
    tree: Path,
    target: Path | None,
    *,
    dry_run: bool = False,
    folders_only: bool = False,
    through_links: bool = True,
    checksum: bool = False,
    protected: Sequence[str] = (),
    left_out: Sequence[str] = (),
) -> list[str]:
    """Copy names (from stdin, NUL after each) out of a snapshot: into the folder `target`, or back to the source.

    Nothing is ever deleted there. Folders that lead to a name stay as they are; `folders_only` makes those that are
    named; there a symlink to a folder counts as one, unless `through_links` is False. `checksum` compares contents
    where size and time are equal. `protected` are paths below the target that are never written, `left_out` are
    patterns. The whole list is held at once (85 bytes an entry): folder by folder, rsync (3.5.0) waits for ever where a
    folder that is not empty stands in the place of a file with two names.
    """
    remote = target is None and mirror.source.kind != "local"
    place = mirror.source.rsync_argument if target is None else f"{target}/"
    return [
        *_common(mirror, recursive=not folders_only),
        *([] if folders_only else ["--no-inc-recursive"]),
        *_extras(mirror),
        # locally --fake-super counts for both sides: so the receiver becomes a process of its own, as if remote
        *(["--rsh=env", "--secluded-args"] if mirror.fake_super and not remote else []),
        "--sparse", "--no-implied-dirs",
        *(["--keep-dirlinks"] if folders_only and through_links else []),
        *(["--checksum"] if checksum else []),
        *(["--dry-run"] if dry_run else []),
        *(f"--exclude={pattern(path)}" for path in protected),
        *(f"--exclude={text}" for text in left_out),
        "--files-from=-", "--from0", f"--out-format={LIST_FORMAT}",
        *([f"--bwlimit={mirror.bandwidth_limit // 1024 or 1}"] if mirror.bandwidth_limit and remote else []),
        *(connection(mirror) if target is None else []),
        f"{tree}/", f"LOCAL=yes:{place}" if mirror.fake_super and not remote else place,
    ]  # fmt: skip


def put_back_argv(tree: Path, slot: Path) -> list[str]:
    """Give names (from stdin, NUL after each) in a slot the state that they have in a snapshot's tree, wholly.

    Contents are compared block by block, and only what differs is written: unchanged blocks stay shared.
    """
    return [
        "rsync", "--dirs", "--links", "--perms", "--times", "--owner", "--group", "--devices", "--specials",
        "--numeric-ids", "--hard-links", "--acls", "--xattrs",
        "--inplace", "--no-whole-file", "--ignore-times", "--no-implied-dirs",
        "--files-from=-", "--from0", f"{tree}/", f"{slot}/",
    ]  # fmt: skip


def pattern(path: str) -> str:
    """A path as a filter pattern that matches it alone."""
    return re.sub(r"([*?\[\\])", r"\\\1", path) if set(path) & set("*?[") else path


def _common(mirror: MirrorConfig, *, recursive: bool = True) -> list[str]:
    return [
        "rsync",
        *(["--recursive"] if recursive else ["--dirs"]),
        "--links", "--perms", "--times", "--owner", "--group", "--devices", "--specials", "--numeric-ids",
        *(["--hard-links"] if mirror.hard_links else []),
        "--8-bit-output",
        *([f"--timeout={mirror.timeout_seconds}"] if mirror.timeout_seconds else []),
    ]  # fmt: skip


_XFS_ACLS = (
    # XFS shows its ACLs as trusted.SGI_ACL_* too: rsync, missing these at the source, would remove them, ACLs and all.
    "--filter=-x trusted.SGI_ACL_*",
    "--filter=-x system.*",  # rsync's own rule, which any other rule of this kind switches off
)


def _extras(mirror: MirrorConfig) -> list[str]:
    """ACLs and extended attributes. (An ordinary user's rsync sees user.* only, by a rule of its own.)"""
    return [
        *(["--acls"] if mirror.acls else []),
        *(["--xattrs", *(() if os.geteuid() else _XFS_ACLS)] if mirror.xattrs else []),
        *(["--fake-super"] if mirror.fake_super else []),  # local: for both sides; -M alone breaks rsync 3.5.0 there
    ]


def _filters(mirror: MirrorConfig) -> list[str]:
    return [
        *(f"--include={pattern}" for pattern in mirror.include),
        *([f"--include-from={mirror.include_from}"] if mirror.include_from else []),
        *(f"--exclude={pattern}" for pattern in mirror.exclude),
        *([f"--exclude-from={mirror.exclude_from}"] if mirror.exclude_from else []),
        *(["--one-file-system"] if mirror.one_file_system else []),
        *([f"--max-size={mirror.max_size}"] if mirror.max_size is not None else []),
        *([f"--min-size={mirror.min_size}"] if mirror.min_size is not None else []),
    ]


def connection(mirror: MirrorConfig) -> list[str]:
    """The options that say how to reach the source."""
    if mirror.source.kind == "local":
        return []
    if mirror.source.kind == "daemon":
        password = [f"--password-file={mirror.password_file}"] if mirror.password_file else []
        return [*password, f"--contimeout={ssh.CONNECT_SECONDS}"]
    path = [f"--rsync-path={mirror.rsync_path}"] if mirror.rsync_path else []
    return [f"--rsh={ssh.rsh(mirror)}", *path]


def is_entry(line: bytes) -> bool:
    """Whether a line printed in LIST_FORMAT is an entry, not a message of rsync's nor a name to be deleted."""
    return line[_ITEM : _ITEM + 1] == b"|" and line[:1] != b"*"


def parse_sent(raw: bytes, token: str) -> Sent | None:
    """An entry printed in SENT_FORMAT behind the token, as a listing would show it; None for any message."""
    word, _, rest = raw.partition(b"|")
    checksum, _, line = rest.partition(b"|")
    if word != token.encode() or len(checksum) != _CHECKSUM or not is_entry(line):
        return None
    return Sent(as_new(line), checksum.strip())


def as_new(line: bytes) -> bytes:
    """An entry as a listing against nothing shows it, whatever rsync says of it here."""
    kind = line[1:2]
    linked = line[:1] == b"h" and b"| => " in line  # without: made of the basis, not of another name
    first = b"h" if linked else b">" if kind == b"f" else b"c"
    return first + kind + b"+++++++++" + line[_ITEM:]


def literal_bytes(raw: bytes) -> int:
    """Bytes of file content that travelled, if this line of --stats tells; else 0."""
    match = _LITERAL_LINE.fullmatch(raw)
    return int(match[1]) if match else 0


def complaints(stderr: bytes, most: int = 20, *, good: bool = False) -> list[str]:
    """What rsync complained about, for people: without its closing verdict, banners and the noise of login scripts.

    If rsync has said nothing itself, it is what others said; not after a good end (`good`), where they do not count.
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
    _SOCKET: ("the connection broke", "the next run goes on from here"),
    11: ("reading or writing a file failed", "look at the messages of the kernel (dmesg) on both sides"),
    12: ("the data stream broke off", "the ssh connection or rsync on the server ended early; the next run goes on"),
    13: ("rsync failed in its own diagnostics", "run it again with --verbose"),
    14: ("rsync could not talk to its own parts", "is the machine out of memory or processes?"),
    20: ("rsync was stopped by a signal", "the next run goes on from here"),
    21: ("a part of rsync died", "the next run goes on from here"),
    22: ("rsync ran out of memory", "give the machine more memory, split the mirror, or raise max_entries"),
    25: ("rsync stopped at its limit of deletions", "nothing was deleted"),
    30: ("nothing moved for too long", "raise timeout_seconds, or look why the server stalls"),
    35: ("the rsync daemon did not answer in time", "is the server up, and the port open?"),
    124: ("the command on the server was killed", "look at the server's log"),
    125: ("the command on the server was killed", "look at the server's log"),
    126: ("the command on the server cannot be run", "check rsync_path"),
    127: ("there is no rsync on the server", "install it there, or set rsync_path"),
    _SSH: ("ssh could not connect", "'snapmirror doctor' tells whether it is the host, its key or yours"),
    _LINE: ("the ssh connection broke off", "did the server, or the line, go away? the next run goes on from here"),
}


def failure(exit_code: int, stderr: bytes, what: str) -> SnapmirrorError:
    """The error for an exit code that ends the night. `what` names what was being done."""
    reasons = [line[:_LONGEST] for line in _lines(stderr)]
    if exit_code == _BROKEN_STREAM and any(map(_SSH_SAYS.search, reasons)):
        exit_code = _SSH  # it read the end of the data before it learned how ssh had ended: chance which comes first
    # A vanished file is no reason to end.
    reasons = refusal.told([reason for reason in reasons if not reason.startswith("file has vanished")] or reasons)
    if exit_code == _SSH:
        reasons.sort(key=refusal.is_own)
    if exit_code == _SSH and not reasons:
        exit_code = _LINE
    detail = f" ({reasons[0]})" if reasons else ""
    if is_full(stderr):
        return NoRoomError(f"{what}: the store is full{detail}", hint="make room, or keep fewer snapshots")
    if any(map(_NOT_ASKED_FOR.search, reasons)):
        return TransferError(f"{what}: the server sends names that were not asked for{detail}", hint=_HOSTILE)
    if exit_code < 0:
        return TransferError(f"{what}: rsync was killed by signal {-exit_code}", hint="the next run goes on from here")
    if exit_code == PARTIAL:
        return TransferError(
            f"{what}: some files could not be read{detail}", hint='exclude them, or set on_unreadable = "publish"'
        )
    if (refused := refusal.refusal(exit_code, stderr)) is not None:
        return TransferError(f"{what}: {refused.message} ({refused.says})", hint=refused.hint)
    meaning, hint = _MEANING.get(exit_code, (f"rsync ended with {exit_code}", "its manual explains the number"))
    if exit_code == _PROTOCOL and _STUMBLED in stderr:
        return StumbledError(f"{what}: the source changes too fast for rsync{detail}", hint="the next run goes on")
    if exit_code == _SOCKET and any("failed to connect" in reason for reason in reasons):
        meaning, hint = "there is no rsync daemon", "is it running there, and its port open?"
    kind = UnreachableError if _may_pass(exit_code, reasons) else TransferError
    return kind(f"{what}: {meaning}{detail}", hint=hint)


def _may_pass(exit_code: int, reasons: list[str]) -> bool:
    """Whether a failure is the network's, or a server's that is away: not what somebody has to mend first."""
    if any(map(_STAYS.search, reasons)):
        return False
    return exit_code in _PASSING or any(map(_PASSES.search, reasons if exit_code in {_SSH, _REFUSED} else ()))


def unasked(names: Sequence[bytes], what: str) -> TransferError:
    """The error for escaped names that came without having been asked for."""
    shown = ", ".join(name.decode("utf-8", "backslashreplace") for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return TransferError(f"{what}: the server sends names that were not asked for ({shown}{more})", hint=_HOSTILE)


def is_full(stderr: bytes) -> bool:
    """Whether rsync ran out of space or inodes; it reports that as a mere partial transfer."""
    return any(text in stderr for text in _NO_SPACE)
