"""`snapmirror config sample|check|schema`: the configuration for people and editors."""

from __future__ import annotations

import typer

from snapmirror.cli.commands import Group
from snapmirror.cli.output import note, out
from snapmirror.cli.shell import shell_of
from snapmirror.errors import ExitCode
from snapmirror.model import count
from snapmirror.text import harmless, printable

app = typer.Typer(
    cls=Group, help="The configuration: a sample, a check, a schema.", no_args_is_help=True, rich_markup_mode=None
)


def register(program: typer.Typer) -> None:
    """Add this group of commands to the program."""
    program.add_typer(app, name="config")


@app.command()
def sample() -> None:
    """Print a commented configuration to start from."""
    from snapmirror.config.sample import sample as text

    out(text().rstrip("\n"))


@app.command()
def check(context: typer.Context) -> None:
    """List everything that is wrong with the configuration; changes and contacts nothing."""
    from snapmirror.config import look

    shell = shell_of(context)
    loaded = look(shell.config_path)
    mirrors = ", ".join(mirror.name for mirror in loaded.config.mirrors)
    more = f" and {count(len(loaded.files) - 1, 'included file')}" if len(loaded.files) > 1 else ""
    has, is_ = ("have", "are") if more else ("has", "is")
    fine = f"{has} no mistakes, but look at the warnings" if loaded.remarks else f"{is_} fine"
    out(f"{printable(shell.config_path)}{more} {fine}: {count(len(loaded.config.mirrors), 'mirror')} ({mirrors})")
    for remark in loaded.remarks:
        note(f"warning: {harmless(remark.message)}")
        note(f"  hint: {harmless(remark.mend)}")
    if loaded.remarks:
        raise typer.Exit(int(ExitCode.WARNINGS))


@app.command()
def schema() -> None:
    """Print the JSON schema of the configuration, for editors."""
    from snapmirror.config.sample import json_schema

    out(json_schema().rstrip("\n"))


@app.command(hidden=True)
def reference() -> None:
    """Print every option as Markdown tables; the page 'configuration' is made with it."""
    from snapmirror.config.sample import reference as text

    out(text().rstrip("\n"))
