"""`snapmirror copy-image`: copies the closed image to a disk that is taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from snapmirror.cli.output import out_json, tell
from snapmirror.cli.progress import shown
from snapmirror.cli.shell import Json, shell_of
from snapmirror.errors import ExitCode

if TYPE_CHECKING:
    from snapmirror.config import Destination


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command("copy-image")(copy_image)


def copy_image(
    context: typer.Context,
    destination: Annotated[
        str | None,
        typer.Argument(
            metavar="DESTINATION", help="A folder, or //host/share/folder. Without it that of [copy] in the "
            "configuration.",
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Also read the existing copy, and compare it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only compare, and show what it would do.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Copy it although the store is older than the last known one.")
    ] = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Copy the closed image to a disk that is taken away: only what differs, sparse, and read back.

    An existing copy stays good if this is interrupted. The store must not be in use; it is opened first, and an image
    that is damaged, or older than before, is refused.
    """
    from snapmirror.night.copying import copy_and_remember

    shell = shell_of(context, steps=True)
    place = _destination(destination)
    with shown(quiet=shell.quiet) as progress:
        report = copy_and_remember(
            shell.config, place, accept_changes=accept_changes, full=full, dry_run=dry_run, progress=progress
        )
    code = ExitCode.WARNINGS if report.warnings else ExitCode.DONE
    if json:
        from snapmirror.views import store as view

        out_json(view.copy(report, code))
    else:
        from snapmirror.state import render

        tell(render.copy(report), quiet=shell.quiet)
    if code:
        raise typer.Exit(int(code))


def _destination(text: str | None) -> Destination | None:
    from snapmirror.config import parse_destination
    from snapmirror.errors import UsageError

    if text is None:
        return None
    try:
        return parse_destination(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
