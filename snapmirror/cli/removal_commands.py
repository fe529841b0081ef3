"""`snapmirror forget|purge|retire`: removes snapshots, names from all snapshots, a whole history."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from snapmirror.cli import logs
from snapmirror.cli.asking import answer
from snapmirror.cli.history_commands import SNAPSHOT_HELP, names_of
from snapmirror.cli.output import note, out, out_json
from snapmirror.cli.progress import shown
from snapmirror.cli.shell import Json, MirrorName, name_argument, shell_of
from snapmirror.errors import ExitCode
from snapmirror.model import count, size
from snapmirror.text import local_time, printable

if TYPE_CHECKING:
    from snapmirror.history.removal import Names
    from snapmirror.history.retiring import Doomed

_SHOWN = 20
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would be removed.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AcceptChanges = Annotated[bool, typer.Option("--accept-changes", help="Also if it removes most of the history.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(forget)
    app.command()(purge)
    app.command()(retire)


def forget(
    context: typer.Context,
    snapshots: Annotated[list[str], typer.Argument(metavar="SNAPSHOT...", help=SNAPSHOT_HELP)],
    mirror: MirrorName = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    accept_changes: AcceptChanges = False,
    json: Json = False,
) -> None:
    """Remove snapshots before they expire. Pinned ones and the last complete one are kept.

    Example: snapmirror forget 2026-11-21T031407Z
    """
    from snapmirror.errors import UsageError
    from snapmirror.history.histories import opened
    from snapmirror.history.removal import check_forget
    from snapmirror.history.removal import forget as forget_snapshots
    from snapmirror.state import summary
    from snapmirror.state.damage import refresh

    shell = shell_of(context)
    with opened(shell.config, names_of(mirror), locked=True, read_only=dry_run) as histories:
        found = [histories.find(text) for text in snapshots]
        if len({one.mirror.name for one in found}) > 1:
            raise UsageError("these are snapshots of several mirrors", hint="name one of them with --mirror")
        history = histories.histories[found[0].mirror.name]
        chosen = list({one.snapshot.id: one.snapshot for one in found}.values())
        check_forget(history, chosen, accept=accept_changes)
        if not json and not (shell.quiet and yes and not dry_run):
            for one in chosen:
                out(f"- {one.id}  {local_time(one.taken_at)}  {count(one.files, 'file')}, {size(one.bytes)}")
        if not dry_run:
            _ask(f"Remove {count(len(chosen), 'snapshot')} of {found[0].mirror.name}?", yes=yes)
            forget_snapshots(shell.config, found[0].mirror, history, chosen)
            summary.keep_space(shell.config, histories.store, time.time())
            with shown(quiet=shell.quiet) as progress:
                refresh(shell.config, found[0].mirror.name, history, (), progress)
    if json:
        from snapmirror.views import removal as view

        out_json(view.forget(found[0].mirror.name, chosen, logs.warnings(), dry_run=dry_run))
    elif not dry_run:
        shell.say(f"{found[0].mirror.name}: {count(len(chosen), 'snapshot')} removed")


def purge(
    context: typer.Context,
    paths: Annotated[list[str], name_argument("PATH...", "Names, relative to the source.")],
    from_history: Annotated[
        bool, typer.Option("--from-history", help="Confirm it: no snapshot will have these names.")
    ] = False,
    mirror: MirrorName = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    accept_changes: AcceptChanges = False,
    json: Json = False,
) -> None:
    """Remove files and folders from all snapshots of a mirror, such as a password that leaked into the backup.

    Nothing else changes; the record notes what was removed, when, and by whom.
    Example: snapmirror purge /root/dump.sql --from-history
    """
    from snapmirror.errors import UsageError
    from snapmirror.history.histories import opened
    from snapmirror.history.removal import find_names
    from snapmirror.history.removal import purge as purge_names
    from snapmirror.snapshots.browse import normal
    from snapmirror.state import summary
    from snapmirror.state.damage import refresh

    if not from_history and not dry_run:
        raise UsageError("this removes names from every snapshot", hint="to do that, add --from-history")
    shell = shell_of(context)
    with opened(shell.config, names_of(mirror), locked=True, read_only=dry_run) as histories:
        if len(histories.mirrors) > 1:
            raise UsageError("name the mirror", hint=f"--mirror {next(iter(histories.mirrors))}")
        [(config, history)] = histories
        wanted = list(dict.fromkeys(normal(os.fsencode(path)) for path in paths))
        names = find_names(config, history, wanted, accept=accept_changes)
        if not json and not (shell.quiet and yes and not dry_run):
            _show(names)
        warnings = _others(names)
        for warning in warnings:
            note(f"warning: {warning}")
        if not dry_run:
            _ask(f"Remove this from {count(len(names.held), 'snapshot')} of {config.name}?", yes=yes)
            purge_names(history, names)
            summary.keep_space(shell.config, histories.store, time.time())
            with shown(quiet=shell.quiet) as progress:
                refresh(shell.config, config.name, history, names.paths, progress)
    if json:
        from snapmirror.views import removal as view

        out_json(view.purge(config.name, names, [*logs.warnings(), *warnings], dry_run=dry_run))
    elif not dry_run:
        shell.say(f"{config.name}: removed from {count(len(names.held), 'snapshot')}")
    if not dry_run and not shell.quiet:
        note("the next night fetches these names again unless you remove them there or exclude them")
    if warnings:
        raise typer.Exit(int(ExitCode.WARNINGS))


def retire(
    context: typer.Context,
    mirror: Annotated[str, typer.Argument(metavar="MIRROR", help="The name of its folder in the store.")],
    with_pinned: Annotated[bool, typer.Option("--with-pinned", help="Also if snapshots are pinned.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Also if it was backed up until now.")
    ] = False,
    json: Json = False,
) -> None:
    """Remove the whole history of a mirror that is no longer backed up.

    The mirror may still be in the configuration. A note of what, when and by whom stays in the store.
    Example: snapmirror retire web1
    """
    from snapmirror.history import retiring
    from snapmirror.history.unfinished import complete_removal
    from snapmirror.state import summary
    from snapmirror.storage.locks import READER_SECONDS
    from snapmirror.storage.open_store import open_store
    from snapmirror.storage.run_lock import run_lock

    shell = shell_of(context)
    config = shell.config
    opening = open_store(config, read_only=dry_run, patience=READER_SECONDS)
    with run_lock(config, reading=dry_run), opening as store:
        if not dry_run:
            complete_removal(config, store)
        doomed = retiring.find(config, store, mirror)
        retiring.check(store, doomed, datetime.now(UTC), pinned=with_pinned, accept=accept_changes)
        if not json and not (shell.quiet and yes and not dry_run):
            _show_history(doomed)
        if not dry_run:
            _ask(f"Remove the whole history of {mirror}?", yes=yes)
            retiring.retire(config, store, doomed)
            summary.keep_space(config, store, time.time())
    if json:
        from snapmirror.views import removal as view

        out_json(view.retire(mirror, doomed, logs.warnings(), dry_run=dry_run))
    elif not dry_run:
        shell.say(f"{mirror}: its history is removed")
    if not dry_run and doomed.in_configuration:
        note(f"the next night would begin a new one: remove the section of {mirror} from the configuration")


def _show_history(doomed: Doomed) -> None:
    found = doomed.snapshots
    if doomed.damage is not None:
        out(f"- all of {doomed.name}; {doomed.damage}")
    elif not found:
        out(f"- all of {doomed.name}, which has no snapshot")
    else:
        pinned = f", {count(sum(one.pinned for one in found), 'pinned one')} among them"
        told = f"{count(len(found), 'snapshot')}{pinned if any(one.pinned for one in found) else ''}"
        newest = f"the newest with {count(found[0].files, 'file')}, {size(found[0].bytes)}"
        out(f"- all of {doomed.name}: {told}, {found[-1].id} … {found[0].id}; {newest}")


def _show(names: Names) -> None:
    paths = sorted({one.path for held in names.held for one in held.entries})
    for path in paths[:_SHOWN]:
        out(f"- {printable(path)}")
    if len(paths) > _SHOWN:
        out(f"… and {count(len(paths) - _SHOWN, 'name')} more; --json lists all")
    oldest, newest = names.held[-1].snapshot.id, names.held[0].snapshot.id
    where = newest if newest == oldest else f"{oldest} … {newest}"
    out(f"{count(len(paths), 'name')} in {count(len(names.held), 'snapshot')}: {where}")


def _others(names: Names) -> list[str]:
    """The warning that what was to go is still there under other names."""
    if not names.others:
        return []
    shown = ", ".join(printable(path) for path in names.others[:5])
    more = f" and {len(names.others) - 5} more" if len(names.others) > 5 else ""
    return [f"other names of the same files, and their content, are kept: {shown}{more}"]


def _ask(question: str, *, yes: bool) -> None:
    from snapmirror.errors import UsageError

    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("this cannot be undone, and there is no terminal to ask on", hint="to do it, add --yes")
    if not answer(question):
        note("nothing was removed")
        raise typer.Exit(0)
