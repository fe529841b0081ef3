"""`snapmirror status`: the last success, the last night, and the free space, without opening the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from snapmirror import folder
from snapmirror.cli.output import note, out, out_json, table
from snapmirror.cli.shell import Json, shell_of
from snapmirror.model import count
from snapmirror.text import age, harmless, local_time

if TYPE_CHECKING:
    from snapmirror.state.status import MirrorStatus, Status


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(status)


def status(
    context: typer.Context,
    findings: Annotated[
        bool, typer.Option("--findings", help="Only what needs a look, a line each, with hints: for a message.")
    ] = False,
    json: Json = False,
) -> None:
    """Tell how old the last success is, how the last night went, and what space is left. Opens nothing.

    Exit code 3 when something needs attention: an old or missing success, a failed night, warnings, little space.
    """
    from snapmirror.config import load
    from snapmirror.state.status import status as look

    shell = shell_of(context)
    now = datetime.now(UTC)
    found = look(load(shell.config_path), now)  # not shell.config: without access to the share no watcher is needed
    if json:
        from snapmirror.views import status as view

        out_json(view.status(found, now))
    elif findings:
        from snapmirror.state import render

        for sentence in render.needs_a_look(found):
            out(harmless(sentence))
    else:
        _show(found, now)
    if found.exit_code:
        raise typer.Exit(int(found.exit_code))


def _show(found: Status, now: datetime) -> None:
    from snapmirror.state import render

    headings = ["MIRROR", "LAST SUCCESS", "AGE", "LAST RUN", "RESULT"]
    table(headings, ([harmless(cell) for cell in _row(mirror, now)] for mirror in found.mirrors))
    for mirror in found.mirrors:
        for warning in mirror.warnings:
            note(f"{mirror.mirror}: warning: {warning}")
        if mirror.read_back is not None:
            note(f"{mirror.mirror}: {render.read_back(mirror.read_back)}")
    if found.running_since is not None:
        note(f"a run has used the store since {local_time(found.running_since)}")
    if found.space is not None:
        note(render.space_left(found.space, live=found.space.at == now.timestamp()))
        if found.days_until_full is not None:
            days = count(round(found.days_until_full), "day")
            note(f"at the pace of the last nights that is full in {days}")
    for sentence in found.unlisted:
        note(sentence)
    if found.unlisted:
        note(f"  hint: {folder.OF_NO_MIRROR}")
    for finding in found.findings:
        out(harmless(finding))
    if not found.findings:
        out("all is well")


def _row(mirror: MirrorStatus, now: datetime) -> list[str]:
    result = mirror.result or ""
    if mirror.warnings:
        result = f"{result}, {count(len(mirror.warnings), 'warning')}"
    if mirror.waiting is not None:
        result = f"{result} (try {mirror.waiting.tried} of {mirror.waiting.retries})"
    if mirror.exit_code and mirror.result == "failed":
        result = f"{result} ({mirror.exit_code})"
    return [
        mirror.mirror,
        local_time(mirror.last_success) if mirror.last_success else "never",
        age(mirror.last_success, now) if mirror.last_success else "",
        local_time(mirror.last_run) if mirror.last_run else "",
        result,
    ]
