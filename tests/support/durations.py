"""What each file of tests took: seconds, and seconds of the processor, of the tests and of what they have run."""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Durations:
    """The sums, by file."""

    def __init__(self) -> None:
        self._took: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    @contextmanager
    def measured(self, file: str) -> Iterator[None]:
        """Add what happens meanwhile. A program that still runs at its end is counted where it ends, or nowhere."""
        began, used = time.monotonic(), _processor()
        try:
            yield
        finally:
            took = self._took[file]
            took[0] += time.monotonic() - began
            took[1] += _processor() - used

    def lines(self, least: float = 1.0) -> list[str]:
        """A line for each file that took at least so many seconds, the longest first."""
        found = sorted(self._took.items(), key=lambda item: -item[1][0])
        return [f"{took:8.0f} s {used:8.0f} s  {file}" for file, (took, used) in found if took >= least]


def _processor() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )
