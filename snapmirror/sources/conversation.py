"""A conversation with one rsync: start it, read its lines within limits, turn its exit code into an error.

All sources that rsync serves, and restores, use this module. The command lines are in `tools.rsync`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from snapmirror import process
from snapmirror.errors import SnapmirrorError
from snapmirror.sources import limits
from snapmirror.tools import rsync, rsync_output

_PAUSE_SECONDS = 0.01


class Conversation:
    """A running rsync. `code` and `stderr` are known once its lines have been read to the end."""

    def __init__(self, child: process.Running, flood: limits.Flood, seconds: int) -> None:
        self._child, self._flood, self._seconds = child, flood, seconds
        self.code, self.stderr = 0, b""
        self.may_have_failed_checks = False  # whether it may have complained of contents that failed rsync's own check

    def blocks(
        self, most: int, *, tick: Callable[[], None] | None = None, unhurried: bool = False
    ) -> Iterator[list[bytes]]:
        """The lines that rsync prints, in blocks of up to `most` bytes. `tick` is called about every second.

        `unhurried`: wait a moment when little has arrived. rsync writes line by line: a reader that wakes for each line
        costs both processes time. Raises TransferError when a limit is reached, and what `tick` raises.
        """
        rest = b""
        for chunk in limits.printed(self._child, most, seconds=self._seconds, flood=self._flood, tick=tick):
            if unhurried and len(chunk) < most // 4:
                time.sleep(_PAUSE_SECONDS)
            *lines, rest = (rest + chunk).split(b"\n")
            yield lines
        self.code, self.stderr = self._child.wait(), self._child.stderr_tail()
        self.may_have_failed_checks = rsync_output.may_have_failed_checks(self.stderr, self._child.trim_stderr())

    @property
    def is_partial(self) -> bool:
        """Whether some files or folders could not be read."""
        return self.code == rsync_output.PARTIAL

    @property
    def saw_vanishing(self) -> bool:
        """Whether some files were gone when rsync wanted to read them."""
        return self.code == rsync_output.VANISHED

    @property
    def complaints(self) -> list[str]:
        """rsync's complaints, as text for people."""
        return rsync_output.complaints(self.stderr, good=self.code == rsync_output.OK)

    def failure(self) -> SnapmirrorError:
        """The error for its exit code."""
        return rsync_output.failure(self.code, self.stderr, self._flood.what)

    def check(self, *, writes: bool) -> None:
        """Raises the error if nothing that it sent can be used. `writes`: it wrote on this side, so it may have run out
        of room.

        Files that could not be read, or were gone, raise nothing.
        """
        usable = self.code in {rsync_output.OK, rsync_output.PARTIAL, rsync_output.VANISHED}
        if not usable or (writes and rsync_output.is_full(self.stderr)):
            raise self.failure()


@contextmanager
def conversation(
    argv: Sequence[str],
    flood: limits.Flood,
    *,
    seconds: int = 0,
    memory: int | None = None,
    writable: Sequence[Path] | None = None,
    stdin: IO[bytes] | None = None,
) -> Iterator[Conversation]:
    """An rsync that runs as long as the context. `flood` limits its output and names what is being done.

    `seconds`: the longest silence; 0: no limit. `memory` in bytes and `writable`: see `process.running`. Raises
    UsageError if this machine changes the meaning of rsync's options.
    """
    rsync.refuse_aliases()
    with process.running(argv, stdin=stdin, memory=memory, writable=writable) as child:
        yield Conversation(child, flood, seconds)
