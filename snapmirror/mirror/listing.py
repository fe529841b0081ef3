"""The remote tree as a stream of entry lines, by a dry run of rsync that touches no disk on this side."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from snapmirror import process
from snapmirror.config import MirrorConfig
from snapmirror.errors import TransferError
from snapmirror.snapshots.entry import escape, parse
from snapmirror.tools import rsync

log = logging.getLogger("snapmirror.listing")


@dataclass
class Listing:
    """A listing while and after it is read. `partial`: parts of the source could not be read."""

    lines: Iterator[bytes]
    has_root: bool = False
    partial: bool = False
    complaints: list[str] = field(default_factory=list)


def list_source(mirror: MirrorConfig, nowhere: Path) -> Listing:
    """Start listing a mirror's source. Its lines end with TransferError where rsync ends without a usable listing."""
    return _listing(rsync.listing_argv(mirror, nowhere), mirror, f"listing {mirror.source}")


def list_tree(mirror: MirrorConfig, tree: Path, nowhere: Path) -> Listing:
    """List a snapshot's own tree in the same form."""
    return _listing(rsync.tree_argv(mirror, tree, nowhere), None, f"listing {tree}")


def changed_names(mirror: MirrorConfig, tree: Path) -> set[bytes]:
    """Compare the source with a snapshot's tree itself: the names that differ, in ACLs and xattrs as well."""
    listing = _listing(rsync.check_argv(mirror, tree), None, f"comparing {mirror.source} with {tree}", root=False)
    return {parse(line).path for line in listing.lines}


def _listing(argv: list[str], mirror: MirrorConfig | None, what: str, *, root: bool = True) -> Listing:
    listing = Listing(iter(()))
    lines = _read(argv, listing, what, needs_root=root)
    marker = mirror.exclude_marker if mirror else None
    listing.lines = _pruned(lines, marker.encode("utf-8", "surrogateescape")) if marker else lines
    return listing


def _read(argv: list[str], listing: Listing, what: str, *, needs_root: bool) -> Iterator[bytes]:
    with process.running(argv) as child:
        assert child.stdout is not None
        yield from _entries(child.stdout, listing)
        code, stderr = child.wait(), child.stderr_tail()
    listing.complaints = rsync.complaints(stderr)
    if code not in {rsync.OK, rsync.PARTIAL, rsync.VANISHED}:
        raise rsync.failure(code, stderr, what)
    if needs_root and not listing.has_root:
        reason = f": {listing.complaints[0]}" if listing.complaints else ""
        raise TransferError(f"{what}: there is no such folder{reason}", hint="check the path in source")
    listing.partial = code == rsync.PARTIAL


def _entries(output: IO[bytes], listing: Listing) -> Iterator[bytes]:
    """rsync's output as entries; lines that are messages are left out."""
    for raw in output:
        line = rsync.parse_listed(raw)
        if line is None:
            if not raw.startswith((b"created directory ", b"skipping ", b"*deleting ")):
                log.debug("rsync says: %r", raw[:200])
            continue
        if not listing.has_root and raw.endswith(b"|.///\n"):
            listing.has_root = True
        yield line


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
        one = parse(line)
        if pruned and one.path.startswith(tuple(pruned) if line[:1] == b"h" else pruned[-1]):
            continue
        if one.leader is not None:
            if one.leader.startswith(tuple(pruned)):
                if one.leader not in leaders:
                    leaders[one.leader] = one.path
                    yield b"." + one.attributes + b"|" + escape(one.path)
                    continue
                line = line[: -len(escape(one.leader))] + escape(leaders[one.leader])
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
