"""How far long work has come: a bar on a terminal, a line now and then in cron, nothing with --quiet."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from snapmirror.cli import logs
from snapmirror.cli.text import count, printable, size
from snapmirror.model import Progress, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

log = logging.getLogger("snapmirror.progress")
_EVERY_SECONDS = 60.0


@contextmanager
def shown(*, quiet: bool) -> Iterator[Progress]:
    """The progress that suits where the output goes."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        with Bar() as bar:
            yield bar
    else:
        yield Lines()


class Lines:
    """A log line a minute."""

    def __init__(self) -> None:
        self._what, self._total = "", ""
        self._names = self._size = 0
        self._last = time.monotonic()

    def begin(self, what: str, *, names: int | None = None, size: int | None = None) -> None:
        """See `model.Progress`."""
        self._what, self._names, self._size, self._last = what, 0, 0, time.monotonic()
        self._total = "" if names is None else f" of {_amount(names, size or 0)}"

    def advance(self, names: int, size: int = 0) -> None:
        """See `model.Progress`."""
        self._names += names
        self._size += size
        if time.monotonic() - self._last > _EVERY_SECONDS:
            self._last = time.monotonic()
            log.info("%s: %s%s", printable(self._what), _amount(self._names, self._size), self._total)

    def end(self) -> None:
        """See `model.Progress`."""


class Bar:
    """A bar with rate and remaining time. Log lines are printed above it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._rich: RichProgress | None = None
        self._task: TaskID | None = None
        self._by_size = False
        self._names = 0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _drawn(self) -> RichProgress:
        """rich is imported only when there is something to draw."""
        if self._rich is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            console = Console(stderr=True)
            self._rich = Progress(
                SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(),
                DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn(),
                console=console, transient=True,
            )  # fmt: skip
            self._stack.enter_context(self._rich)
            self._stack.enter_context(
                logs.redirected(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))
            )
        return self._rich

    def begin(self, what: str, *, names: int | None = None, size: int | None = None) -> None:
        """See `model.Progress`."""
        self._what, self._names, self._by_size = printable(what), 0, bool(size)
        self._task = self._drawn().add_task(self._what, total=size or None)

    def advance(self, names: int, size: int = 0) -> None:
        """See `model.Progress`."""
        self._names += names
        if self._rich is not None and self._task is not None:
            described = f"{self._what}: {count(self._names, 'name')}"
            self._rich.update(self._task, advance=size, description=described)

    def end(self) -> None:
        """See `model.Progress`."""
        if self._rich is not None and self._task is not None:
            self._rich.remove_task(self._task)
            self._task = None


def _amount(names: int, length: int) -> str:
    return f"{count(names, 'name')}, {size(length)}" if length else count(names, "name")
