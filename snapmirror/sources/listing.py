"""The remote tree as a stream of entry lines, by a dry run of rsync that touches no disk on this side."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from snapmirror import process
from snapmirror.config import MirrorConfig
from snapmirror.errors import DamageError, TransferError, UsageError
from snapmirror.snapshots import times
from snapmirror.snapshots.entry import escape, path_of, plain_line
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import checked
from snapmirror.snapshots.spool import Spool
from snapmirror.sources import floods, settings, size_limits, stall
from snapmirror.sources.odd_times import Disk
from snapmirror.tools import rsync, rsync_output
from snapmirror.tools.find import folders_read_ahead

_CHUNK = 1 << 18
_PAUSE_SECONDS = 0.01
_MOST_AT_ONCE = 1_000_000  # entries that a small server can be asked to hold in memory: 85 MB
_ONLY_TIME = b"..t......"  # of rsync's item, behind the two letters
_HELD = 1024  # bytes of memory for each entry of a tree, to hold its folders: 4 KiB each, of four entries at least


@dataclass
class Listing:
    """A listing while and after it is read, in blocks of lines; lines that are no entries are rsync's messages.

    `partial`: parts of the source could not be read. `skipped` are names that were left out for their size.
    """

    blocks: Iterator[list[bytes]]
    partial: bool = False
    complaints: list[str] = field(default_factory=list)
    skipped: Spool = field(default_factory=Spool)

    def lines(self) -> Iterator[bytes]:
        """The entries one by one."""
        return (line for block in self.blocks for line in block if rsync_output.is_entry(line))


@contextmanager
def source_listed(mirror: MirrorConfig, *, expected: int) -> Iterator[Listing]:
    """A mirror's source is being listed. Its blocks end with TransferError where rsync gives no usable listing.

    `expected`: how many entries it had last time, 0 if that is not known.
    """
    rsync.refuse_aliases()
    if mirror.source.kind == "ssh" and process.find("ssh") is None:  # rsync starts it, and has no words for that
        raise UsageError("the program ssh is not installed", hint="'snapmirror doctor' names its package")
    argv = rsync.listing_argv(settings.location(mirror), settings.options(mirror), whole=0 < expected <= _MOST_AT_ONCE)
    ahead = folders_read_ahead(mirror.source.rsync_argument) if _is_read_ahead(mirror, expected) else nullcontext()
    with ahead, _listed(argv, f"listing {mirror.source}", mirror, stall.patience(mirror)) as listing:
        if size_limits.are_set(mirror):
            listing.blocks = size_limits.taken_off(listing.blocks, listing.skipped)
        if mirror.exclude_marker:
            marker = mirror.exclude_marker.encode("utf-8", "surrogateescape")
            listing.blocks = ([line] for line in _pruned(Listing(listing.blocks).lines(), marker))
        yield listing


def _is_read_ahead(mirror: MirrorConfig, expected: int) -> bool:
    """Whether it helps rsync when a second program reads the folders before it: a fifth of the time of a cold tree.

    Only of a tree that rsync goes through as a whole, and of which a quarter of this machine's memory holds the folders
    until rsync has come that far.
    """
    whole = mirror.source.kind == "local" and not mirror.exclude and not mirror.exclude_from
    return whole and 0 < expected * _HELD <= floods.machine_memory() // 4


def tree_lines(mirror: MirrorConfig, tree: Path) -> list[bytes]:
    """The entries of a snapshot's own tree in the same form."""
    with _listed(rsync.tree_argv(settings.options(mirror), tree), f"listing {tree}", mirror) as listing:
        return list(listing.lines())


def changed_names(mirror: MirrorConfig, tree: Path, disk: Disk, among: Sequence[bytes] | None = None) -> set[bytes]:
    """Compare the source with a snapshot's tree itself: the names that differ, in ACLs and xattrs as well.

    `among`: only these are looked at.
    """
    what, seconds = f"comparing {mirror.source} with {tree}", stall.patience(mirror)
    location = settings.location(mirror)
    with tempfile.TemporaryFile() if among is not None else nullcontext() as names:
        if names is not None:
            names.writelines(rsync.listed_name(location, path) + b"\0" for path in among or ())
            names.seek(0)
        argv = rsync.check_argv(location, settings.options(mirror), tree, listed=names is not None)
        with _listed(argv, what, mirror, seconds, root=False, stdin=names) as listing:
            return {path_of(line) for line in listing.lines() if not _is_time_that_cannot_be_kept(line, tree, disk)}


def _is_time_that_cannot_be_kept(line: bytes, tree: Path, disk: Disk) -> bool:
    """Whether only the time differs, and the tree's is the nearest that its file system has."""
    fields = line.split(b"|", 6)
    if line[2:11] != _ONLY_TIME or len(fields) < 7 or times.is_usual(time := fields[5]):  # few: a server's message
        return False
    with suppress(OSError, DamageError, ValueError):
        return disk.is_nearest(time, os.lstat(Tree(tree).at(path_of(line))).st_mtime_ns // 1_000_000_000)
    return False


@contextmanager
def _listed(
    argv: list[str],
    what: str,
    mirror: MirrorConfig,
    seconds: int = 0,
    *,
    root: bool = True,
    stdin: IO[bytes] | None = None,
) -> Iterator[Listing]:
    listing = Listing(iter(()))
    with closing(_read(argv, listing, what, mirror.guard.max_entries, seconds, needs_root=root, stdin=stdin)) as blocks:
        listing.blocks = blocks
        yield listing


def _read(
    argv: list[str],
    listing: Listing,
    what: str,
    most: int,
    seconds: int,
    *,
    needs_root: bool,
    stdin: IO[bytes] | None,
) -> Generator[list[bytes]]:
    has_root = False
    with process.running(argv, stdin=stdin, memory=floods.memory(most), writable=()) as child:
        rest, flood = b"", floods.EntryFlood(child, what=what, most=most)
        for chunk in stall.printed(child, _CHUNK, seconds=seconds, flood=flood):
            if len(chunk) < _CHUNK // 4:
                time.sleep(_PAUSE_SECONDS)  # rsync writes line by line: a reader that is always awake costs both of us
            *lines, rest = (rest + chunk).split(b"\n")
            has_root = has_root or any(line.endswith(b"|//./") for line in lines)
            yield lines
        code, stderr = child.wait(), child.stderr_tail()
    listing.complaints = rsync_output.complaints(stderr, good=code == rsync_output.OK)
    if code not in {rsync_output.OK, rsync_output.PARTIAL, rsync_output.VANISHED}:
        raise rsync_output.failure(code, stderr, what)
    if needs_root and not has_root:
        reason = f": {listing.complaints[0]}" if listing.complaints else ""
        raise TransferError(f"{what}: there is no such folder{reason}", hint="check the path in source")
    listing.partial = code == rsync_output.PARTIAL


def _pruned(lines: Iterable[bytes], marker: bytes) -> Iterator[bytes]:
    """Leave out what lies in a folder that holds a file of the name `marker`; the folder itself stays, empty.

    A folder's files come before its folders, so a folder's lines wait until its files are known. A hard link whose
    leader is left out takes its place.
    """
    waiting: list[bytes] = []
    folder = b"."
    pruned: list[bytes] = []
    leaders: dict[bytes, bytes] = {}
    for line in lines:
        one = checked(line)
        if pruned and one.path.startswith(tuple(pruned) if line[:1] == b"h" else pruned[-1]):
            continue
        if one.leader is not None:
            if one.leader.startswith(tuple(pruned)):
                if one.leader not in leaders:
                    leaders[one.leader] = one.path
                    yield plain_line(one.attributes, one.path)
                    continue
                line = line.replace(
                    b"| => " + escape(one.leader) + b"//", b"| => " + escape(leaders[one.leader]) + b"//"
                )
            yield line
        elif one.is_directory:
            yield from waiting
            waiting, folder = [], one.path
            yield line
        elif one.path == (marker if folder == b"." else folder + b"/" + marker):
            waiting = []
            if folder == b".":
                return
            pruned.append(folder + b"/")
        else:
            waiting.append(line)
    yield from waiting
