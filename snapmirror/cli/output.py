"""Prints results on stdout, and everything about them on stderr.

If the reader closes the pipe (`snapmirror list | head`) or the terminal hangs up, the output ends, not the command: its
exit code stays true.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from snapmirror.errors import StorageError
from snapmirror.text import harmless, printable

if TYPE_CHECKING:
    from snapmirror.state.render import Sentence


def out(line: str = "") -> None:
    """A line of the result."""
    _write(sys.stdout, f"{line}\n")


def out_bytes(data: bytes) -> None:
    """Bytes of the result, unchanged."""
    with suppress(ValueError):  # the reader has closed it
        sys.stdout.flush()
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            _close(sys.stdout)
        except OSError as error:
            raise StorageError(f"the output cannot be written: {error.strerror}") from error


def out_json(value: Any) -> None:
    """The result as JSON; characters that the encoding lacks, or a terminal obeys, are escaped as JSON does."""
    text = json.dumps(value, indent=2, ensure_ascii=sys.stdout.encoding.lower() == "ascii")
    out(text if text.replace("\n", "").isprintable() else "".join(map(_as_json, text)))


def note(line: str) -> None:
    """A line about the result, on stderr; earlier output is flushed before it."""
    with suppress(StorageError):  # reported at the end
        _write(sys.stdout, "", flush=True)
    _write(sys.stderr, f"{harmless(line)}\n")


def complain(sentence: str, hint: str = "") -> None:
    """An error, for people."""
    note(f"snapmirror: error: {sentence}")
    if hint:
        note(f"  hint: {hint}")


def tell(sentences: Iterable[Sentence], *, quiet: bool) -> None:
    """A result in words: warnings and errors on stderr, the rest on stdout unless `quiet`."""
    for one in sentences:
        if one.serious:
            note(one.text)
        elif not quiet:
            out(printable(one.text))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> None:
    """Aligned columns. Never folded: the text of a cell can be copied whole. `right`: columns of numbers."""
    numbers, lines = set(right), [list(headings), *(list(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(headings))]
    for number, line in enumerate(lines):
        cells = [c.rjust(w) if i in numbers else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        text = "  ".join(cells).rstrip()
        out(f"\x1b[1m{text}\x1b[0m" if number == 0 and sys.stdout.isatty() else text)


def _as_json(character: str) -> str:
    return character if character == "\n" or character.isprintable() else json.dumps(character)[1:-1]


def flush() -> None:
    """Write everything out before the command ends with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        _write(stream, "", flush=True)


def _write(stream: TextIO, text: str, *, flush: bool = False) -> None:
    try:
        stream.write(text)
        if flush or stream is sys.stderr:
            stream.flush()
    except BrokenPipeError:
        _close(stream)
    except OSError as error:
        if error.errno == errno.EIO and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
            _close(stream)
        elif stream is sys.stdout:
            raise StorageError(f"the output cannot be written: {error.strerror}") from error


def _close(stream: TextIO) -> None:
    """Drop the rest: nobody reads it any more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


class Screen(io.TextIOBase):
    """The terminal on stderr, for a progress bar: when it hangs up, nothing is drawn, and nothing fails."""

    def __init__(self) -> None:
        super().__init__()
        self._stream = sys.stderr  # (the progress bar may replace sys.stderr meanwhile)

    def write(self, text: str) -> int:
        """Draw."""
        _write(self._stream, text, flush=True)
        return len(text)

    def isatty(self) -> bool:
        """Whether there is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Its descriptor, by which its width is found."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Its character encoding."""
        return self._stream.encoding
