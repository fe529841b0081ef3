"""The log on stderr: one line per step, with the time; commands with --verbose; only warnings with --quiet.

It does not use Rich, so that cron's mail and a log file look like a terminal.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from snapmirror.cli import output
from snapmirror.text import harmless


class _LineHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.sink: Callable[[str], None] = output.note
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.warnings.append(record.getMessage())
        try:
            self.sink(self.format(record))
        except Exception:
            self.handleError(record)


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = self.formatTime(record, "%H:%M:%S" if sys.stderr.isatty() else "%Y-%m-%d %H:%M:%S")
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        text = harmless(record.getMessage())
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{clock} {level}{text}"


_handler = _LineHandler()


def warnings() -> list[str]:
    """The warnings so far, for `--json`."""
    return _handler.warnings


def set_up(level: int) -> None:
    """Show the program's log from `level` on."""
    _handler.warnings.clear()
    _handler.setFormatter(_LineFormatter())
    logger = logging.getLogger("snapmirror")
    logger.handlers[:] = [_handler]
    logger.propagate = False
    logger.setLevel(level)
    logging.raiseExceptions = False  # a log that cannot be written must not end a night


@contextmanager
def redirected(sink: Callable[[str], None]) -> Iterator[None]:
    """Send log lines through `sink`, such as a progress bar's console, so that they don't overwrite each other."""
    before, _handler.sink = _handler.sink, sink
    try:
        yield
    finally:
        _handler.sink = before
