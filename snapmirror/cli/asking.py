"""A question on the terminal."""

from __future__ import annotations

import signal

import typer

from snapmirror.cli.output import note


def answer(question: str) -> bool:
    """Whether the user answers yes; the end of the input is a no. Raises Interrupted when the terminal is lost."""
    from snapmirror.errors import Interrupted

    try:
        return _answer(question)
    except Interrupted as stopped:
        stopped.hint = "nothing was changed"
        raise


def _answer(question: str) -> bool:
    from snapmirror import interrupts
    from snapmirror.errors import Interrupted

    try:
        return typer.confirm(question, default=False, err=True)
    except typer.Abort:
        note("")
        interrupts.check()
        return False
    except OSError as error:
        raise Interrupted(signal.SIGHUP, "SIGHUP") from error
