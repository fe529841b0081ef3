"""The command line: the only place that prints, and that turns errors into exit codes.

`main` handles the signals before anything heavy is imported, so that at no moment a signal can end the program half
way.
"""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Sequence

from snapmirror import interrupts
from snapmirror.errors import ExitCode, SnapmirrorError, denied, shortage

_RESERVE_BYTES = 1 << 20


def main(argv: Sequence[str] | None = None) -> None:
    """The command `snapmirror`. Ends the process with a documented exit code."""
    _fill_standard_descriptors()
    try:
        interrupts.install()
        code = run_command(sys.argv[1:] if argv is None else argv)
    except SnapmirrorError as error:  # a signal between the lines of run_command
        code = error.exit_code
    interrupts.ignore()
    os._exit(code)  # all is flushed and released: Python's own cleanup, object by object, would take 50 ms of a night


def _fill_standard_descriptors() -> None:
    """If the caller closed stdin, stdout or stderr (`>&-`), an image must not get that number and our messages."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")


def run_command(argv: Sequence[str]) -> int:
    """Run one command and return its exit code; every failure is reported on stderr."""
    from snapmirror.cli.output import complain, flush

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a name must not end a night
    reserve = bytearray(_RESERVE_BYTES)  # released to report that memory has run out
    try:
        from snapmirror.process import RUN_VARIABLE

        os.environ[RUN_VARIABLE] = uuid.uuid4().hex
        # plugins of other packages have no say in a backup, and the search for them is a tenth of a start
        os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
        from snapmirror.cli.app import app
        from snapmirror.cli.global_options import in_front

        app(args=in_front(argv), prog_name="snapmirror")
        code: int = ExitCode.DONE
    except SystemExit as end:  # how typer ends, its own usage errors (2) included
        code = end.code if isinstance(end.code, int) else ExitCode.DONE if end.code is None else ExitCode.USAGE
    except SnapmirrorError as error:
        complain(error.message, error.hint)
        code = error.exit_code
    except Exception as error:
        del reserve
        logging.getLogger("snapmirror.cli").debug("the traceback", exc_info=True)
        known = (
            interrupts.raised() or shortage(error) or denied(error)
        )  # a signal may arrive where Python wraps what a handler raises
        if known is not None:
            complain(known.message, known.hint)
            code = known.exit_code
        else:
            complain(
                f"this is a bug: {type(error).__name__}: {error}",
                "please report it, with what 'snapmirror --verbose …' prints",
            )
            code = ExitCode.BUG
    flush()
    return int(code)
