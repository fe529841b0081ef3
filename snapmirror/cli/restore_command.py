"""`snapmirror restore`: restores names of a snapshot into a folder or to the server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snapmirror.cli import logs
from snapmirror.cli.asking import answer
from snapmirror.cli.history_commands import SNAPSHOT_HELP, names_of
from snapmirror.cli.output import note, out, out_json
from snapmirror.cli.progress import shown
from snapmirror.cli.shell import Json, MirrorName, name_argument, shell_of
from snapmirror.model import count, size
from snapmirror.text import printable

if TYPE_CHECKING:
    from snapmirror.history.restore import Preview, Restore

_SHOWN = 100
_SIGNS = {"new": "+", "overwritten": "M", "attributes": "A"}


def _folder(text: str) -> Path:
    """The folder that the user names. An empty text, as from an unset shell variable, is an error."""
    if not text:
        raise typer.BadParameter("an empty name is not a folder; is a variable unset?")
    try:
        return Path(text) if text.startswith("/") else Path.cwd() / text
    except FileNotFoundError:
        raise typer.BadParameter("the current folder of this shell was removed; cd elsewhere") from None


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(restore)


def restore(
    context: typer.Context,
    snapshot: Annotated[str, typer.Argument(metavar="SNAPSHOT", help=SNAPSHOT_HELP)],
    paths: Annotated[list[str], name_argument("PATH...", "Names, relative to the source; '.' or '/' is everything.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", parser=_folder, help="Into this folder; it is made if it does not exist."),
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Back to the source.")] = False,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Compare contents if size and time are the same. Reads everything.")
    ] = False,
    root_attributes: Annotated[
        bool,
        typer.Option(
            "--root-attributes", help="With --to: an existing DIR gets owner, mode and times of the snapshot's root."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would be written.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    mirror: MirrorName = None,
    json: Json = False,
) -> None:
    """Restore names of a snapshot with all their attributes: into a folder, or back to the server.

    Shows first what would be written: + new, M overwritten, A attributes only. Never deletes anything.
    Example: snapmirror restore newest etc/fstab --to /tmp/restored
    """
    from snapmirror.errors import ExitCode, UsageError
    from snapmirror.history.histories import opened
    from snapmirror.history.lookup import wanted
    from snapmirror.history.restore import Restore

    if (to is None) != push:
        raise UsageError("name the target: --to DIR, or --push for the server", hint="give one of them")
    shell = shell_of(context, steps=not json)
    with opened(shell.config, names_of(mirror), locked=True) as histories, shown(quiet=shell.quiet) as progress:
        found = histories.find(snapshot)
        names = wanted(found, [os.fsencode(path) for path in paths])
        job = Restore(shell.config, found, names, to, checksum=checksum, root_attributes=root_attributes)
        preview = job.preview(None if json else _SHOWN)
        job.check_room(preview)
        if not json and not (shell.quiet and yes and not dry_run):
            _show(preview, job)
        done = 0
        if preview.replaced:
            note(f"{_some(preview.replaced)}: a folder takes the place of what is no folder here, such as a symlink")
        if preview.login_files:
            note(
                f"{_some(preview.login_files)}: these decide who may log in to the server, and are written last; "
                "if they lack the key in use, the next login is refused"
            )
        if preview.names and not dry_run:
            _ask(preview, job, yes=yes, push=push)
            done = job.run(preview, progress)
    warnings = list(_warnings(preview, job, done))
    for warning in warnings:
        note(f"warning: {warning}")
    if json:
        from snapmirror.views import restore as view

        out_json(view.restore(preview, job, done, [*logs.warnings(), *warnings]))
    elif not dry_run and preview.names:
        shell.say(f"restored {count(done, 'name')} of {found.snapshot.id} to {printable(job.where)}")
    if warnings:
        raise typer.Exit(int(ExitCode.WARNINGS))


def _warnings(preview: Preview, job: Restore, done: int) -> Iterator[str]:
    if job.skipped:
        yield f"{count(job.skipped, 'device')} left out: only root can make them"
    if done and preview.odd_times:
        other = count(len(preview.odd_times), "name")
        yield f"{other} got another time, as this disk cannot hold theirs: {_some(preview.odd_times)}"


def _show(preview: Preview, job: Restore) -> None:
    for change in preview.changes:
        slash = "/" if change.is_folder and change.path != b"." else ""
        out(f"{_SIGNS[change.kind]} {printable(change.path)}{slash}")
    if preview.names > len(preview.changes):
        out(f"… and {count(preview.names - len(preview.changes), 'name')} more; --json lists all")
    if not preview.names:
        out(f"nothing to do: {printable(job.where)} has all of it, as in {job.found.snapshot.id}")
        return
    out(f"{_summary(preview)}, to {printable(job.where)}")


def _some(paths: list[bytes]) -> str:
    shown = ", ".join(printable(path) for path in paths[:5])
    return f"{shown} and {len(paths) - 5} more" if len(paths) > 5 else shown


def _summary(preview: Preview) -> str:
    return (
        f"{preview.counts['new']} new, {preview.counts['overwritten']} overwritten, "
        f"{preview.counts['attributes']} attributes only; {size(preview.bytes)}"
    )


def _ask(preview: Preview, job: Restore, *, yes: bool, push: bool) -> None:
    """Ask on a terminal. Without one, only a restore that overwrites nothing here may go on without --yes."""
    from snapmirror.errors import UsageError

    if yes:
        return
    if sys.stdin.isatty():
        if not answer(f"Write this to {printable(job.where)}?"):
            note("nothing was written")
            raise typer.Exit(0)
        return
    harmful = preview.counts["overwritten"] + preview.counts["attributes"]
    if push or harmful:
        what = "it would change the server" if push else f"it would change {count(harmful, 'existing name')}"
        raise UsageError(f"{what}, and there is no terminal to ask on", hint="to do that, add --yes")
