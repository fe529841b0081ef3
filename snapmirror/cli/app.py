"""The command `snapmirror`, with the options of the whole program; `commands` holds its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snapmirror import __version__
from snapmirror.cli import completion
from snapmirror.cli.commands import Program
from snapmirror.cli.global_options import SYSTEM_CONFIG, VARIABLE, default_config
from snapmirror.cli.output import out
from snapmirror.cli.shell import Shell

app = typer.Typer(
    name="snapmirror",
    cls=Program,
    help=(
        "Dated, browsable, unchanging backups of remote servers in one sparse image file.\n\n"
        "'snapmirror help' lists the pages that explain each task."
    ),
    epilog=(
        "Exit codes: 0 done; 1 bug; 2 usage or configuration; 3 done with warnings; 10 locked; 11 storage; "
        "12 transfer failed; 13 guard stopped the run; 14 damage found; 20 still mounted or attached; "
        "130/143 interrupted."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        out(f"snapmirror {__version__}")
        raise typer.Exit


def _config_file(text: str) -> Path:
    if not text:
        raise typer.BadParameter("an empty name is not a file; is a variable unset?")
    return Path(text)


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            parser=_config_file,
            help=f"The configuration; default: ${VARIABLE}, an ordinary user's own, {SYSTEM_CONFIG}.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors, no progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also every command that is run.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The options of the whole program."""
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose exclude each other")
    context.obj = Shell(config or default_config(), quiet, verbose)
    context.obj.speak(steps=False)


completion.enable()
