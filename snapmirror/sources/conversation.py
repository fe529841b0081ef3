"""Talking to one rsync: it is started, its lines are read within limits, and its exit code becomes an error.

Every source that rsync serves, and a restore, is spoken to here. What the command lines are: `tools.rsync`.
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
from snapmirror.tools import rsync_output

_PAUSE_SECONDS = 0.01


class Conversation:
    """An rsync that runs. `code` and `stderr` are known once its lines have been read to the end."""

    def __init__(self, child: process.Running, flood: limits.Flood, seconds: int) -> None:
        self._child, self._flood, self._seconds = child, flood, seconds
        self.code, self.stderr = 0, b""

    def blocks(
        self, most: int, *, tick: Callable[[], None] | None = None, unhurried: bool = False
    ) -> Iterator[list[bytes]]:
        """The lines that it prints, in blocks of up to `most` bytes. `tick` is called about every second.

        `unhurried`: wait a moment where little has come. rsync writes line by line: a reader that is always awake costs
        both of us. Raises TransferError where a limit is reached, and what `tick` raises.
        """
        rest = b""
        for chunk in limits.printed(self._child, most, seconds=self._seconds, flood=self._flood, tick=tick):
            if unhurried and len(chunk) < most // 4:
                time.sleep(_PAUSE_SECONDS)
            *lines, rest = (rest + chunk).split(b"\n")
            yield lines
        self.code, self.stderr = self._child.wait(), self._child.stderr_tail()

    @property
    def is_partial(self) -> bool:
        """Whether some files or folders could not be read."""
        return self.code == rsync_output.PARTIAL

    @property
    def saw_vanishing(self) -> bool:
        """Whether some files were gone when they were to be read."""
        return self.code == rsync_output.VANISHED

    @property
    def complaints(self) -> list[str]:
        """What it complained about, for people."""
        return rsync_output.complaints(self.stderr, good=self.code == rsync_output.OK)

    def failure(self) -> SnapmirrorError:
        """The error for the way in which it has ended."""
        return rsync_output.failure(self.code, self.stderr, self._flood.what)

    def check(self, *, writes: bool) -> None:
        """Raises the error for an end of which nothing can be used. `writes`: it did so on this side, if there was
        room.

        Files that could not be read, or were gone, are no such end.
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
    """An rsync that runs for as long as the context. `flood` limits what it prints and knows what is being done.

    `seconds`: so long nothing need arrive; 0: for ever. `memory` in bytes and `writable`: see `process.running`.
    """
    with process.running(argv, stdin=stdin, memory=memory, writable=writable) as child:
        yield Conversation(child, flood, seconds)
