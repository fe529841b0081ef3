"""`snapmirror export serve|status`: the history for Explorer."""

from __future__ import annotations

from typing import Annotated

import typer

from snapmirror.cli.commands import Group
from snapmirror.cli.output import out, out_json
from snapmirror.cli.shell import Json, shell_of

app = typer.Typer(cls=Group, help="Serve the history read-only over SMB: dated folders, and Previous Versions.")


def register(program: typer.Typer) -> None:
    """Add this group of commands to the program."""
    program.add_typer(app, name="export")


@app.command()
def serve(
    context: typer.Context,
    if_enabled: Annotated[
        bool, typer.Option("--if-enabled", help="Do nothing unless the configuration says enabled = true.")
    ] = False,
) -> None:
    """Serve until stopped. It pauses while a night runs, and then includes the new snapshots."""
    shell = shell_of(context, steps=True)
    from snapmirror.config import load

    export = load(shell.config_path).export
    if if_enabled and (export is None or not export.enabled):
        out("nothing to export: [export] is not enabled in the configuration")
        return
    from snapmirror.storage import export as exporting

    exporting.serve(shell.config)


@app.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Show whether the history is served, to whom, and where."""
    from snapmirror.config import load
    from snapmirror.storage import export_lock

    config = load(shell_of(context).config_path)
    export = config.export
    serving = export is not None and export_lock.is_serving(config)
    state = "off" if not serving else "on" if export_lock.is_exported(config) else "paused"
    shares = [export.share, *(mirror.name for mirror in config.mirrors)] if export else []
    if json:
        from snapmirror.views import store as view

        out_json(view.export(config, state))
        return
    sentences = {
        "off": "the history is not served",
        "paused": "paused: the store is in use",
        "on": f"served: {', '.join(shares)}, to {', '.join(export.users)}" if export else "",
    }
    out(sentences[state])
