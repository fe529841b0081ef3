"""Small types and functions that several layers use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

NOTICE = 25
"""A level of the log between INFO and WARNING: people should see it, but need not act."""


def size(number: float) -> str:
    """Bytes for people: 1.5 GiB."""
    if abs(number) < 1024:
        return f"{number:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        number /= 1024
        if abs(number) < 1024 or unit == "TiB":
            break
    return f"{number:.1f} {unit}"


@dataclass(frozen=True)  # a field of pydantic's models, which know no Struct
class ReadBack:
    """How much of a mirror's files has been read back and compared with their checksums.

    `share` (0 to 1) of this pass is done; the last full pass was `completed` (seconds since 1970; None: not yet);
    reading back is `behind_seconds` behind its schedule; `damaged` files are known. `files` and `bytes` were read in
    the last night.
    """

    share: float
    completed: float | None
    behind_seconds: float
    damaged: int
    files: int = 0
    bytes: int = 0


class Progress(Protocol):
    """Shows the progress of long work. The command line has one for terminals, one for cron, and a silent one."""

    def begin(self, what: str, *, names: int | None = None, size: int | None = None) -> None:
        """A piece of work starts; `names` and `size` (bytes) are its totals, if they are known."""

    def advance(self, names: int, size: int = 0) -> None:
        """So much more is done, in names and bytes."""

    def end(self) -> None:
        """The piece of work is over."""


class Silent:
    """A progress that shows nothing."""

    def begin(self, what: str, *, names: int | None = None, size: int | None = None) -> None:
        """Nothing."""

    def advance(self, names: int, size: int = 0) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


def count(number: int, one: str, many: str = "") -> str:
    """1 file, 12,345 files."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
