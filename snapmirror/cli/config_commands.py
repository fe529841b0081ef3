"""`snapmirror config sample|check|schema`: the configuration for people and editors."""

from __future__ import annotations

import typer

from snapmirror.cli.output import out
from snapmirror.cli.shell import shell_of
from snapmirror.cli.text import count, printable

app = typer.Typer(help="The configuration: a sample, a check, a schema.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def sample() -> None:
    """Print a commented configuration to start from."""
    from snapmirror.config.sample import sample as text

    out(text().rstrip("\n"))


@app.command()
def check(context: typer.Context) -> None:
    """Say everything that is wrong with the configuration; changes and contacts nothing."""
    from snapmirror.config import load

    shell = shell_of(context)
    config = load(shell.config_path)
    mirrors = ", ".join(mirror.name for mirror in config.mirrors)
    out(f"{printable(shell.config_path)} is fine: {count(len(config.mirrors), 'mirror')} ({mirrors})")


@app.command()
def schema() -> None:
    """Print the JSON schema of the configuration, for editors."""
    from snapmirror.config.sample import json_schema

    out(json_schema().rstrip("\n"))


@app.command(hidden=True)
def reference() -> None:
    """Print every option as Markdown tables; the README's reference is made with it."""
    from snapmirror.config.sample import reference as text

    out(text().rstrip("\n"))
