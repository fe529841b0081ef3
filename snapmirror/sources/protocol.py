"""The protocol of a source, the origin of a tree: the few operations that a night and healing need.

It lists its entries as the lines that `snapshots.entry` describes, in rsync's order, and fetches names into a folder.
An attacker may control it: an implementation limits what this side reads and holds for it (see `limits`), and a caller
verifies on the disk what it says of a name before relying on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from snapmirror.errors import SnapmirrorError, TransferError
from snapmirror.snapshots.lines import Line, is_entry
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.times import IsNearest
from snapmirror.tools.rsync_output import HOSTILE, Sent

OVER, UNDER = b" is over max-size", b" is under min-size"
"""The reason why a name was left out for its size, in rsync's words."""


class Listing(Struct):
    """A listing while and after it is read, in blocks of lines; lines that are not entries are messages.

    `partial`: parts of the source could not be read. `skipped` are names (escaped) that were left out for their size,
    each with OVER or UNDER.
    """

    blocks: Iterator[list[Line]]
    partial: bool = False
    complaints: list[str] = field(default_factory=list)
    skipped: Spool[bytes, bytes] = field(default_factory=Spool)

    def lines(self) -> Iterator[Line]:
        """The entries one by one."""
        return (line for block in self.blocks for line in block if is_entry(line))


class Into(Struct, frozen=True):
    """The destination of a batch: the folder `tree`, in which no name leads to an inode of a snapshot.

    `basis` is a folder of earlier versions: data in it need not be transferred again. `patch`: the tree holds older
    versions of the names, which are patched in place. `compare`: the tree holds versions of some names, with which only
    differences are transferred. `names` is a scratch file, `scratch` and `partial` are scratch
    folders; without `scratch` a file is made beside its name. `top` is the tree of the whole batch if `tree` is a
    folder in it: files are moved to the tree by renaming only if `top` lies beside the scratch folders (see
    `confinement`). `contents`: files in the tree are compared by checksum, not by size and time.
    """

    tree: Path
    names: Path
    scratch: Path | None
    partial: Path
    basis: Path | None = None
    patch: bool = False
    compare: bool = False
    top: Path | None = None
    contents: bool = False


class Fetch(Struct):
    """A batch while and after it is fetched. `arrived` yields each name that has arrived, as the lines of a listing.

    After that: `bytes` of content were transferred, of which `saved` did not travel, thanks to compression;
    `saw_vanishing`: some names were gone; `failure`: some could not be read, and this is the error for a night that
    needs all of them; `doubtful`: some contents may not be what their checksums say.
    """

    arrived: Iterator[Sent]
    bytes: int = 0
    saved: int = 0
    saw_vanishing: bool = False
    failure: SnapmirrorError | None = None
    doubtful: bool = False
    complaints: list[str] = field(default_factory=list)


class SupportsTrees(Protocol):
    """A source that sends all that it lists without a list of names, in the order of its listing."""

    def fetch_tree(
        self, into: Into, *, names: int, below: int | None, doing: str, tick: Callable[[], None] | None = None
    ) -> AbstractContextManager[Fetch]:
        """Fetch everything but files of `below` bytes or more (None: all). It listed about so many `names`.

        Names that it did not list may arrive, too, within the tree: new ones, or an attacker's. The rest is as in
        `Source.fetch`.
        """


class Source(Protocol):
    """The origin of a tree. Its `str()` is its name for people."""

    def check(self) -> None:
        """Raises TransferError if it clearly cannot be reached, without contacting it."""

    def connected(self) -> AbstractContextManager[None]:
        """Hold one connection for everything that is asked within the context, if the source is reached over one.

        Raises TransferError if it cannot be reached. Everything works without it as well.
        """

    def listed(self, *, expected: int) -> AbstractContextManager[Listing]:
        """List it. `expected`: its number of entries last time, 0 if unknown.

        The blocks end with TransferError if there is no usable listing, GuardError if it has too many entries.
        """

    def changed(self, tree: Path, is_nearest: IsNearest, among: Sequence[bytes] | None = None) -> set[bytes]:
        """Compare it with a snapshot's tree itself: returns the names that differ, in ACLs and xattrs as well.

        `among`: only these are compared. `is_nearest` knows which times the tree's file system can store. Raises
        SnapmirrorError.
        """

    def fetch(
        self,
        names: Sequence[bytes] | None,
        into: Into,
        *,
        doing: str,
        tick: Callable[[], None] | None = None,
        dry_run: bool = False,
    ) -> AbstractContextManager[Fetch]:
        """Fetch names (each alone: of a folder its attributes, not its content); None: the root alone.

        `doing` says for error messages what is being done, with `{}` for the source. `tick` is called about every
        second, and may raise. `dry_run`: nothing is transferred or written; every name is yielded. `arrived` ends
        with TransferError, or NoRoomError if the store is full.
        """

    @property
    def whole(self) -> SupportsTrees | None:
        """To fetch everything that it lists at once; None if it can only be asked by name."""


def unasked(names: Sequence[bytes], what: str) -> TransferError:
    """The error for escaped names that were sent without a request. `what`: what was being done."""
    shown = ", ".join(name.decode("utf-8", "backslashreplace") for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return TransferError(f"{what}: the server sends names that were not asked for ({shown}{more})", hint=HOSTILE)
