"""Whether rsync compresses what a source sends: as configured, or as far as it pays.

`auto` compresses on every line to another machine, by zstd at level 3: a processor compresses 280 MB of sources or 340
MB of programs in a second, and few lines carry a third of that. (Level 1: 420 and 500 MB, which become a tenth larger.)
It stops when the line has been seen to carry more, since then the processor is the limit; and for good, if the
server refuses. rsync's two sides agree on zstd, or on zlib if one is older than 3.2.
"""

from __future__ import annotations

from snapmirror.tools import refusal
from snapmirror.tools.rsync import Compress

_ENOUGH_BYTES = 32_000_000  # that must have come before the line's speed is known
_FAST = 100_000_000  # bytes per second


class Compression:
    """What is asked for in each transfer of a source, learned from those before."""

    def __init__(self, choice: Compress, *, remote: bool) -> None:
        self.choice: Compress = choice if remote else "off"
        self._may_change = self.choice == "auto"

    def saw(self, received: int, seconds: float) -> None:
        """A transfer has received so many bytes, compressed or not, in so long."""
        if self._may_change and received >= _ENOUGH_BYTES and received > _FAST * seconds:
            self.choice = "off"

    def is_refused(self, stderr: bytes) -> bool:
        """Whether a transfer failed since the server does not compress. If so, the next one goes without."""
        if self.choice == "off" or not self._may_change or not refusal.is_of_compression(stderr):
            return False
        self.choice = "off"
        return True
