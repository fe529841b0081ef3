"""Small things that several layers speak of."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Shows how far long work has come. The command line has one for terminals, one for cron, and a silent one."""

    def begin(self, what: str, *, names: int | None = None, size: int | None = None) -> None:
        """A stretch of work starts; `names` and `size` (bytes) are its totals, where they are known."""

    def advance(self, names: int, size: int = 0) -> None:
        """So much more is done, in names and bytes."""

    def end(self) -> None:
        """The stretch is over."""


class Silent:
    """A progress that shows nothing."""

    def begin(self, what: str, *, names: int | None = None, size: int | None = None) -> None:
        """Nothing."""

    def advance(self, names: int, size: int = 0) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
