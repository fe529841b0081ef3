"""What is printed: results on stdout, everything about them on stderr.

A reader who goes away (`snapmirror list | head`) ends the output, not the command: its exit code stays true.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from snapmirror.cli.text import harmless
from snapmirror.errors import StorageError


def out(line: str = "") -> None:
    """A line of the result."""
    _write(sys.stdout, f"{line}\n")


def out_json(value: Any) -> None:
    """The result as JSON."""
    out(json.dumps(value, indent=2, ensure_ascii=False))


def note(line: str) -> None:
    """A line about the result, on stderr."""
    _write(sys.stderr, f"{harmless(line)}\n")


def complain(sentence: str, hint: str = "") -> None:
    """An error, for people."""
    note(f"snapmirror: error: {sentence}")
    if hint:
        note(f"  hint: {hint}")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> None:
    """Aligned columns; rich draws them on a terminal, elsewhere they are plain text. `right`: columns of numbers."""
    numbers, body = set(right), [list(row) for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(box=None, pad_edge=False, header_style="bold")
        for index, heading in enumerate(headings):
            drawn.add_column(heading, justify="right" if index in numbers else "left", overflow="fold")
        for row in body:
            drawn.add_row(*(Text(cell) for cell in row))
        Console(highlight=False).print(drawn)
        return
    lines = [list(headings), *body]
    widths = [max(len(line[index]) for line in lines) for index in range(len(headings))]
    for line in lines:
        cells = [c.rjust(w) if i in numbers else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        out("  ".join(cells).rstrip())


def flush() -> None:
    """Everything out, before the exit code is given."""
    for stream in (sys.stdout, sys.stderr):
        _write(stream, "", flush=True)


def _write(stream: TextIO, text: str, *, flush: bool = False) -> None:
    try:
        stream.write(text)
        if flush or stream is sys.stderr:
            stream.flush()
    except BrokenPipeError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except OSError as error:
        if stream is sys.stdout:
            raise StorageError(f"the output cannot be written: {error.strerror}") from error
