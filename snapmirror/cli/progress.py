"""The progress of long work: a bar on a terminal, a line a minute in cron, nothing with --quiet."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, cast

from snapmirror import text
from snapmirror.cli import logs
from snapmirror.cli.output import Screen
from snapmirror.model import Progress, Silent
from snapmirror.model import size as readable_size

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

log = logging.getLogger("snapmirror.progress")

_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 60.0
# What one name costs beside its content, for the bar alone: small files are not free.
_NAME_WEIGHT = 16 << 10


@contextmanager
def shown(*, quiet: bool) -> Iterator[Progress]:
    """The kind of progress that suits stderr; it is removed from the screen at the end."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        bar = Bar()
        try:
            yield bar
        finally:
            bar.end()
    else:
        yield Lines()


class _Counted:
    """The counters of both kinds."""

    def __init__(self) -> None:
        self.what = ""
        self.names, self.size = 0, 0
        self.total_names: int | None = None
        self.total_size: int | None = None
        self.began = 0.0
        self.shown = 0.0

    def begin(self, what: str, *, names: int | None = None, size: int | None = None) -> None:
        """A piece of work starts."""
        self.what, self.total_names, self.total_size = what, names, size
        self.names = self.size = 0
        self.began = self.shown = time.monotonic()

    def advance(self, names: int, size: int = 0) -> None:
        """So much more is done."""
        self.names += names
        self.size += size
        now = time.monotonic()
        if now - self.shown >= self.pause:
            self.shown = now
            self.show(now)

    pause = _LINE_SECONDS

    def show(self, now: float) -> None:
        """Show the progress."""

    @property
    def done(self) -> int:
        """The work done, names and bytes in one number."""
        return self.names * _NAME_WEIGHT + self.size

    @property
    def total(self) -> int | None:
        """All the work, in the same unit; None if it is unknown."""
        if self.total_names is None and self.total_size is None:
            return None
        return (self.total_names or 0) * _NAME_WEIGHT + (self.total_size or 0)

    def figures(self, now: float) -> str:
        """12,000 of 50,000 names, 1.2 GiB of 8.0 GiB, 11.5 MiB/s."""
        parts = []
        if self.names or self.total_size is None or self.total_names is not None:
            parts = [_of(f"{self.names:,}", None if self.total_names is None else f"{self.total_names:,}") + " names"]
        if self.total_size or self.size:
            parts.append(_of(readable_size(self.size), readable_size(self.total_size) if self.total_size else None))
            parts.append(f"{readable_size(self.size / max(now - self.began, 0.001))}/s")
        return ", ".join(parts)

    def remaining(self, now: float) -> float | None:
        """Seconds left at the pace so far."""
        total = self.total
        if not total or not self.done:
            return None
        return max(0.0, (now - self.began) * (total - self.done) / self.done)


class Lines(_Counted):
    """A log line a minute; short work stays silent."""

    def show(self, now: float) -> None:
        """One line."""
        left = self.remaining(now)
        log.info(
            "%s: %s%s",
            text.printable(self.what),
            self.figures(now),
            f", {text.duration(left)} left" if left is not None else "",
        )

    def end(self) -> None:
        """Nothing to clear."""


class Bar(_Counted):
    """A bar with rate and remaining time. Log lines appear above it."""

    pause = _REDRAW_SECONDS

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._bars: Bars | None = None
        self._task: TaskID | None = None

    def begin(self, what: str, *, names: int | None = None, size: int | None = None) -> None:
        """Draw it."""
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self.end()
        super().begin(what, names=names, size=size)
        console = Console(file=cast("IO[str]", Screen()), highlight=False, markup=False)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
        )
        self._bars = Bars(*columns, console=console, transient=True, refresh_per_second=1 / _REDRAW_SECONDS)
        self._stack.enter_context(self._bars)
        self._stack.enter_context(logs.redirected(lambda line: console.print(line, soft_wrap=True)))
        self._task = self._bars.add_task(text.printable(what), total=self.total, figures="", left="")

    def show(self, now: float) -> None:
        """Redraw it."""
        if self._bars is None or self._task is None:
            return
        left = self.remaining(now)
        shown = f"{text.duration(left)} left" if left is not None else ""
        self._bars.update(self._task, completed=self.done, figures=self.figures(now), left=shown)

    def end(self) -> None:
        """Remove it."""
        if self._bars is not None:
            self.show(time.monotonic())
        self._bars = self._task = None
        self._stack.close()


def _of(done: str, total: str | None) -> str:
    return done if total is None else f"{done} of {total}"
