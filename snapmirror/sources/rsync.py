"""A source served by rsync: over ssh, from a daemon, or a folder of this machine.

A dry run that touches no local disk lists it; another one compares it with a snapshot.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

from msgspec.structs import replace

from snapmirror import environment, files, process
from snapmirror.config import MirrorConfig
from snapmirror.errors import DamageError, TransferError
from snapmirror.snapshots import times
from snapmirror.snapshots.entry import path_of
from snapmirror.snapshots.lines import Line, as_lines
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.spool import Spool
from snapmirror.sources import limits, named_files, settings
from snapmirror.sources.compression import Compression
from snapmirror.sources.conversation import conversation
from snapmirror.sources.exclude_marker import pruned
from snapmirror.sources.protocol import OVER, UNDER, Fetch, Into, Listing
from snapmirror.tools import rsync, rsync_output, ssh_connection
from snapmirror.tools.find import folders_read_ahead

_LISTED_AT_ONCE, _FETCHED_AT_ONCE = 1 << 18, 1 << 16  # bytes of output
_MOST_AT_ONCE = 1_000_000  # entries that a small server can hold in memory: 85 MB
_HELD = 1024  # bytes of memory per entry to cache a tree's folders: 4 KiB per folder of four or more entries


class RsyncSource:
    """The source of a mirror."""

    def __init__(self, mirror: MirrorConfig) -> None:
        self._mirror = mirror
        self._location, self._options = settings.location(mirror), settings.options(mirror)
        self._compression = Compression(mirror.compress, remote=self._location.kind != "local")
        # a local source that hangs could not be killed anyway
        self._patience = 0 if self._location.kind == "local" else mirror.timeout_seconds

    def __str__(self) -> str:
        return str(self._mirror.source)

    def check(self) -> None:
        """Raises TransferError for a file in the configuration that rsync or ssh cannot use."""
        named_files.check(self._mirror)

    @contextmanager
    def connected(self) -> Iterator[None]:
        """See `protocol.Source`."""
        if self._location.kind != "ssh" or process.find("ssh") is None:
            yield
            return
        self.check()
        alone = self._location
        with ExitStack() as stack:
            try:
                login = stack.enter_context(ssh_connection.shared(alone.login, self._mirror.source.login))
            except ssh_connection.NotConnected as failed:
                raise rsync_output.failure(rsync_output.SSH, failed.stderr, f"listing {self}") from None
            self._location = replace(alone, login=login)
            try:
                yield
            finally:
                self._location = alone

    @contextmanager
    def listed(self, *, expected: int) -> Iterator[Listing]:
        """See `protocol.Source`."""
        mirror = self._mirror
        argv = rsync.listing_argv(self._location, self._options, whole=0 < expected <= _MOST_AT_ONCE)
        ahead = folders_read_ahead(self._location.argument) if self._is_read_ahead(expected) else nullcontext()
        what = f"listing {self}"
        with ahead, _listed(argv, what, most=mirror.guard.max_entries, seconds=self._patience) as listing:
            if mirror.max_size is not None or mirror.min_size is not None:
                listing.blocks = _without_skipped(listing.blocks, listing.skipped)
            if mirror.exclude_marker:
                marker = mirror.exclude_marker.encode("utf-8", "surrogateescape")
                listing.blocks = ([line] for line in pruned(Listing(listing.blocks).lines(), marker))
            yield listing

    def _is_read_ahead(self, expected: int) -> bool:
        """Whether a second program that reads the folders ahead of rsync helps: it saves a fifth of a cold tree's time.

        Only for a tree that rsync reads as a whole, and only if its folders fit into a quarter of this machine's memory
        until rsync reaches them.
        """
        whole = self._location.kind == "local" and not self._options.exclude and not self._options.exclude_from
        return whole and 0 < expected * _HELD <= limits.machine_memory() // 4

    def changed(self, tree: Path, is_nearest: times.IsNearest, among: Sequence[bytes] | None = None) -> set[bytes]:
        """See `protocol.Source`."""
        with environment.temporary_file() if among is not None else nullcontext() as names:
            if names is not None:
                names.write(self._listed_names(among or ()))
                names.seek(0)
            argv = rsync.check_argv(self._location, self._options, tree, listed=names is not None)
            what, most = f"comparing {self} with {tree}", self._mirror.guard.max_entries
            with _listed(argv, what, most=most, seconds=self._patience, needs_root=False, stdin=names) as listing:
                return {
                    path_of(line)
                    for line in listing.lines()
                    if not _is_time_that_cannot_be_kept(line, tree, is_nearest)
                }

    @contextmanager
    def fetch(
        self,
        names: Sequence[bytes] | None,
        into: Into,
        *,
        doing: str,
        tick: Callable[[], None] | None = None,
        dry_run: bool = False,
    ) -> Iterator[Fetch]:
        """See `protocol.Source`."""
        fetch = Fetch(iter(()))
        if names is not None:
            files.write(into.names, self._listed_names(names))

        def asking(token: str) -> list[str]:
            argv = rsync.transfer_argv(
                self._location, self._options, None if names is None else into.names, into.tree,
                basis=into.basis, scratch=into.scratch, partial=into.partial, patch=into.patch,
                contents=into.contents, compress=self._compression.choice, token=token,
            )  # fmt: skip
            return [argv[0], "--dry-run", *argv[1:]] if dry_run else argv

        count = len(names or (b".",))
        flood = limits.MessageFlood(doing.format(self), names=count)
        places = () if dry_run else _places(into)
        with closing(self._arriving(fetch, asking, flood, limits.memory(count), places, tick)) as fetch.arrived:
            yield fetch
        if names is not None:
            into.names.unlink()

    @property
    def whole(self) -> RsyncSource | None:
        """See `protocol.Source`. Folders with the `exclude_marker` would bring their content along."""
        return None if self._mirror.exclude_marker else self

    @contextmanager
    def fetch_tree(
        self, into: Into, *, names: int, below: int | None, doing: str, tick: Callable[[], None] | None = None
    ) -> Iterator[Fetch]:
        """See `protocol.SupportsTrees`."""

        def asking(token: str) -> list[str]:
            return rsync.tree_transfer_argv(
                self._location, self._options, into.tree, below=below, partial=into.partial, patch=into.patch,
                compare=into.compare, compress=self._compression.choice, token=token,
            )  # fmt: skip

        fetch, flood = Fetch(iter(())), limits.TreeFlood(doing.format(self), names=names)
        memory = limits.memory(self._mirror.guard.max_entries)
        with closing(self._arriving(fetch, asking, flood, memory, _places(into), tick)) as fetch.arrived:
            yield fetch

    def _arriving(
        self,
        fetch: Fetch,
        asking: Callable[[str], list[str]],
        flood: limits.Flood,
        memory: int,
        writable: Sequence[Path],
        tick: Callable[[], None] | None,
    ) -> Generator[rsync_output.Sent]:
        """What the command line that `asking` makes (of the token) brings."""
        token, choice, received = secrets.token_hex(8), self._compression.choice, 0
        argv = asking(token)
        began = time.monotonic()
        with conversation(argv, flood, seconds=self._patience, memory=memory, writable=writable) as talk:
            for block in talk.blocks(_FETCHED_AT_ONCE, tick=tick, unhurried=True):
                for raw in block:
                    sent = rsync_output.parse_sent(raw, token)
                    if sent is not None:
                        yield sent
                    else:
                        fetch.bytes += rsync_output.literal_bytes(raw)
                        received += rsync_output.received_bytes(raw)
        if talk.code and self._compression.is_refused(talk.stderr):
            yield from self._arriving(fetch, asking, flood, memory, writable, tick)
            return
        talk.check(writes=True)
        self._compression.saw(received, time.monotonic() - began)
        fetch.saved = max(0, fetch.bytes - received) if choice != "off" else 0
        fetch.saw_vanishing, fetch.complaints = talk.saw_vanishing, talk.complaints
        fetch.failure = talk.failure() if talk.is_partial else None
        fetch.doubtful = talk.is_partial and talk.may_have_failed_checks

    def _listed_names(self, paths: Sequence[bytes]) -> bytes:
        return b"".join(rsync.listed_name(self._location, path) + b"\0" for path in paths)


def _places(into: Into) -> Sequence[Path]:
    """The folders in which rsync writes."""
    return [one for one in (into.top or into.tree, into.scratch, into.partial) if one is not None]


def tree_lines(mirror: MirrorConfig, tree: Path) -> list[Line]:
    """The entries of a snapshot's own tree, in the form of its source's listing."""
    argv = rsync.tree_argv(settings.options(mirror), tree)
    with _listed(argv, f"listing {tree}", most=mirror.guard.max_entries) as listing:
        return list(listing.lines())


def _is_time_that_cannot_be_kept(line: Line, tree: Path, is_nearest: times.IsNearest) -> bool:
    """Whether only the time differs, and the tree has the nearest time that its file system can store."""
    fields = line.split(b"|", 6)
    if (
        line[2:11] != rsync_output.ONLY_TIME or len(fields) < 7 or times.is_usual(time := fields[5])
    ):  # few: a server message
        return False
    with suppress(OSError, DamageError, ValueError):
        return is_nearest(time, os.lstat(Tree(tree).at(path_of(line))).st_mtime_ns // 1_000_000_000)
    return False


def _without_skipped(blocks: Iterator[list[Line]], skipped: Spool[bytes, bytes]) -> Iterator[list[Line]]:
    """The listing without rsync's messages about names left out for their size; these are added to `skipped`.

    A name may look like the beginning of an entry, but no name holds the two slashes that each entry has.
    """
    for lines in blocks:
        kept = []
        for line in lines:
            if line.endswith((OVER, UNDER)) and line.find(b"//") < 0:
                end = OVER if line.endswith(OVER) else UNDER
                skipped.append((line.removesuffix(end), end))
            else:
                kept.append(line)
        yield kept


@contextmanager
def _listed(
    argv: list[str],
    what: str,
    *,
    most: int,
    seconds: int = 0,
    needs_root: bool = True,
    stdin: IO[bytes] | None = None,
) -> Iterator[Listing]:
    """A dry run's lines. `most`: entries; `needs_root`: if the root is not among them, the folder does not exist."""
    listing = Listing(iter(()))
    with closing(_read(listing, argv, what, most, seconds, needs_root=needs_root, stdin=stdin)) as listing.blocks:
        yield listing


def _read(
    listing: Listing,
    argv: list[str],
    what: str,
    most: int,
    seconds: int,
    *,
    needs_root: bool,
    stdin: IO[bytes] | None,
) -> Generator[list[Line]]:
    has_root = False
    flood = limits.EntryFlood(what, most=most)
    with conversation(argv, flood, seconds=seconds, memory=limits.memory(most), writable=(), stdin=stdin) as talk:
        for lines in talk.blocks(_LISTED_AT_ONCE, unhurried=True):
            has_root = has_root or any(line.endswith(b"|//./") for line in lines)
            yield as_lines(lines)
    listing.complaints = talk.complaints
    talk.check(writes=False)
    if needs_root and not has_root:
        reason = f": {listing.complaints[0]}" if listing.complaints else ""
        raise TransferError(f"{what}: there is no such folder{reason}", hint="check the path in source")
    listing.partial = talk.is_partial
