"""`snapmirror log`: past nights, without opening the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from snapmirror import files
from snapmirror.cli.output import note, out_json, table
from snapmirror.cli.shell import Json, shell_of
from snapmirror.errors import ExitCode, StorageError
from snapmirror.model import count, size
from snapmirror.text import duration, harmless, local_time

if TYPE_CHECKING:
    from snapmirror.config import Config
    from snapmirror.state.logbook import Entry


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(log)


def log(
    context: typer.Context,
    mirror: Annotated[str | None, typer.Argument(metavar="MIRROR", help="Only this mirror.")] = None,
    last: Annotated[int | None, typer.Option("--last", metavar="NUMBER", min=1, help="So many nights only.")] = None,
    json: Json = False,
) -> None:
    """Show the last nights, newest first: 400 of each mirror are kept. Opens nothing."""
    from snapmirror.config import load

    config = load(shell_of(context).config_path)  # not shell.config: the share is not touched, so nobody need watch
    nights = [one for one in _entries(config) if mirror in (None, one.mirror)][::-1]
    if mirror is not None and not nights:
        config.select([mirror])
    nights = nights[:last]
    if json:
        from snapmirror.views import log as view

        out_json([view.night(one) for one in nights])
    elif not nights:
        note("no night is recorded yet")
    else:
        headings = ["ENDED", "MIRROR", "RESULT", "CODE", "ADDED", "CHANGED", "DELETED", "FETCHED", "TOOK", ""]
        table(headings, ([harmless(cell) for cell in _row(one)] for one in nights), right=(3, 4, 5, 6, 7, 8))


def _entries(config: Config) -> list[Entry]:
    from snapmirror.state.logbook import entries

    try:
        return entries(config)
    except files.ForeignError as error:
        raise StorageError(error.message, hint="find out who made it, and move it away") from error
    except OSError as error:
        hint = "run it as the user of the nights, or with sudo"
        raise StorageError(f"{error.filename} cannot be read: {error.strerror}", hint=hint) from error


def _row(one: Entry) -> list[str]:
    told = count(len(one.warnings) + len(one.run_warnings), "warning") if one.warnings or one.run_warnings else ""
    changed = one.updated + one.attributes + one.linked
    return [
        local_time(datetime.fromtimestamp(one.finished, UTC)), one.mirror, one.result, str(_exit_code(one)),
        str(one.added), str(changed), str(one.deleted), size(one.bytes_transferred), duration(one.seconds),
        one.error or told,
    ]  # fmt: skip


def _exit_code(one: Entry) -> int:
    """How the run ended for this mirror: a warning that belongs to no mirror counts for each."""
    return one.exit_code or (ExitCode.WARNINGS if one.run_warnings else ExitCode.DONE)
