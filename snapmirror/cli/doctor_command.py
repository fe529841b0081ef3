"""`snapmirror doctor`: what a night needs, checked line by line, each with how to mend it."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated

import typer

from snapmirror.cli.output import out, out_json
from snapmirror.cli.shell import Json, shell_of
from snapmirror.text import harmless

_COLOURS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(doctor)


def doctor(
    context: typer.Context,
    storage: Annotated[
        bool, typer.Option("--storage", help="Also open the store and test the storage: write, flush, read back.")
    ] = False,
    json: Json = False,
) -> None:
    """Check tools, key, image, space, sources, host keys, clock and the last success; show how to mend faults."""
    from snapmirror.doctor import Check, examine, verdict
    from snapmirror.errors import ConfigError

    shell = shell_of(context)
    with suppress(ConfigError):  # it becomes one of the findings
        _ = shell.config  # a share is accessed only in a watched process
    checks: list[Check] = []
    for check in examine(shell.config_path, storage=storage):
        checks.append(check)
        if not json and not (shell.quiet and check.level == "ok"):
            show(check)
    code = verdict(checks)
    if json:
        from snapmirror.views import checks as view

        out_json(view.doctor(checks))
    raise typer.Exit(code)


def show(check: object) -> None:
    """A finding, and how to mend it."""
    level, topic, message, mend = (str(getattr(check, name)) for name in ("level", "topic", "message", "mend"))
    mark = f"{level:4}"
    if sys.stdout.isatty():
        mark = typer.style(mark, fg=_COLOURS[level])
    out(f"{mark}  {harmless(topic)}: {harmless(message)}")
    if mend:
        out(f"      {harmless(mend)}")
