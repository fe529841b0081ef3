"""What a source is: where a tree comes from. The few things that a night, and healing, ask of it.

It lists its entries as the lines that `snapshots.entry` tells of, in rsync's order, and fetches names into a folder. It
may be in the hands of an attacker: whoever implements it sets limits to what it makes this side read and hold (see
`limits`), and whoever asks it believes nothing that it says of a name before it has looked at the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from snapmirror.errors import SnapmirrorError, TransferError
from snapmirror.snapshots.lines import Line, is_entry
from snapmirror.snapshots.spool import Spool
from snapmirror.snapshots.times import IsNearest
from snapmirror.tools.rsync_output import HOSTILE, Sent

OVER, UNDER = b" is over max-size", b" is under min-size"
"""Why a name was left out for its size, in rsync's words."""


@dataclass
class Listing:
    """A listing while and after it is read, in blocks of lines; lines that are no entries are messages.

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


@dataclass(frozen=True)
class Into:
    """Where a batch goes: the folder `tree`, in which no name leads to an inode of a snapshot.

    `basis` is a folder of earlier versions: what is there need not travel again. `patch`: the names stand in the tree
    in an older version and are patched in place. `names` is a scratch file, `scratch` and `partial` are scratch
    folders. `top` is the tree of the whole batch, where this is a folder in it: files move to the tree by renaming only
    if the top lies beside the scratch folders (see `confinement`).
    """

    tree: Path
    names: Path
    scratch: Path
    partial: Path
    basis: Path | None = None
    patch: bool = False
    top: Path | None = None


@dataclass
class Fetch:
    """A batch while and after it is fetched. `arrived` tells of each name that has come, in the lines of a listing.

    After that: `bytes` of content have travelled; `saw_vanishing`: some names were gone; `failure`: some could not be
    read, and this is the error for a night that needs them all.
    """

    arrived: Iterator[Sent]
    bytes: int = 0
    saw_vanishing: bool = False
    failure: SnapmirrorError | None = None
    complaints: list[str] = field(default_factory=list)


class Source(Protocol):
    """Where a tree comes from. `str()` of it is its name for people."""

    def check(self) -> None:
        """Raises TransferError where it is plain without asking that it cannot be reached."""

    def listed(self, *, expected: int) -> AbstractContextManager[Listing]:
        """It is being listed. `expected`: how many entries it had last time, 0 if that is not known.

        The blocks end with TransferError where there is no usable listing, GuardError where it has too many entries.
        """

    def changed(self, tree: Path, is_nearest: IsNearest, among: Sequence[bytes] | None = None) -> set[bytes]:
        """Compare it with a snapshot's tree itself: the names that differ, in ACLs and xattrs as well.

        `among`: only these are looked at. `is_nearest` knows the times that the tree's file system holds. Raises
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
        """Names (each alone: of a folder its attributes, not what is in it) are being fetched; None: the root alone.

        `doing` tells for errors what is being done, with `{}` for the source. `tick` is called about every second, and
        may raise. `dry_run`: nothing comes, but what would come is told. What has arrived ends with TransferError, or
        NoRoomError where the store is full.
        """


def unasked(names: Sequence[bytes], what: str) -> TransferError:
    """The error for escaped names that were sent without a request. `what` was being done."""
    shown = ", ".join(name.decode("utf-8", "backslashreplace") for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return TransferError(f"{what}: the server sends names that were not asked for ({shown}{more})", hint=HOSTILE)
