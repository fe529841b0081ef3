"""`snapmirror run|plan`: runs a night, or shows what it would do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from snapmirror.cli.output import note, out, out_json, tell
from snapmirror.cli.progress import shown
from snapmirror.cli.shell import Json, Shell, shell_of
from snapmirror.errors import SnapmirrorError, StuckError
from snapmirror.model import count, size
from snapmirror.text import harmless, local_time, printable

if TYPE_CHECKING:
    from snapmirror.config import Config
    from snapmirror.night.planning import Planned
    from snapmirror.snapshots.retention import Expiry

Mirrors = Annotated[list[str] | None, typer.Argument(metavar="MIRROR", help="Names of mirrors; default: all.")]
Full = Annotated[bool, typer.Option("--full", help="Compare with the tree itself: finds changed ACLs and xattrs.")]
_SHOWN = 100


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(run)
    app.command()(plan)


def run(
    context: typer.Context,
    mirrors: Mirrors = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show the plan, as 'plan' does.")] = False,
    full: Full = False,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="Go on although much was changed or deleted since the last snapshot, or the store is an older one.",
        ),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for another run to end, a day at most.")] = False,
    due: Annotated[
        bool,
        typer.Option("--due", help="Only mirrors whose last night ended a day ago or more; show when others are due."),
    ] = False,
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at",
            metavar="HH:MM",
            formats=["%H:%M"],
            help="With --due: only if the last night ended before this time.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a snapshot of each mirror; cron runs this every night.

    With --due it may run often, on a machine that is not always on: it runs nights that were missed or interrupted. A
    night that failed by itself is not tried again before the next is due.
    """
    from snapmirror.night.night import Options
    from snapmirror.night.run import run_mirrors

    shell = shell_of(context, steps=not dry_run)
    if at is not None and not due:
        raise typer.BadParameter("--at HH:MM needs --due")
    if due:
        with json_when_failed(json):
            mirrors = _due(shell, mirrors or [], at)
        if not mirrors:
            _show_nothing(dry_run=dry_run, json=json)
            return
    if dry_run:
        plan(context, mirrors, full, everything=False, json=json)
        return
    with json_when_failed(json), shown(quiet=shell.quiet) as progress:
        options = Options(full, accept_changes, wait)
        report = run_mirrors(_config(shell, mirrors or []), mirrors or [], options, progress)
    if json:
        from snapmirror.views import run as view

        out_json(view.run(report))
    else:
        from snapmirror.state import render

        tell(render.run(report), quiet=shell.quiet)
    if report.exit_code:
        raise typer.Exit(int(report.exit_code))


def _due(shell: Shell, names: list[str], at: datetime | None) -> list[str]:
    """The mirrors that are due; for the others a line shows when they will be."""
    from snapmirror.night.missed import missed
    from snapmirror.schedule import DailyAt, Every

    rule = DailyAt(at.time()) if at is not None else Every(timedelta(days=1))
    found = missed(_config(shell, names), names, rule, datetime.now(UTC))
    if not shell.quiet:
        for name, when in found.later.items():
            note(f"{name}: is due on {local_time(when)}")
    return found.due


def _show_nothing(*, dry_run: bool, json: bool) -> None:
    """Nothing was due."""
    if json:
        from snapmirror.state.report import RunReport
        from snapmirror.views import run as view

        out_json([] if dry_run else view.run(RunReport()))


def _config(shell: Shell, names: list[str]) -> Config:
    """The configuration. A run that cannot end cannot write its report: its watcher writes it."""
    try:
        return shell.config
    except StuckError as error:
        from snapmirror.config import load
        from snapmirror.night.run import report_failure

        report_failure(load(shell.config_path), names, error)
        raise


@contextmanager
def json_when_failed(wanted: bool) -> Iterator[None]:
    """Print JSON for `run --json` whatever happens; the sentence for people follows on stderr."""
    try:
        yield
    except SnapmirrorError as error:
        if wanted:
            from snapmirror.views import run as view

            out_json(view.failed_run(error))
        raise


def plan(
    context: typer.Context,
    mirrors: Mirrors = None,
    full: Full = False,
    everything: Annotated[bool, typer.Option("--all", help="Show every name, not only the first ones.")] = False,
    retention: Annotated[
        bool, typer.Option("--retention", help="Only the snapshots that will expire; no source is asked.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what a run would do, name by name. Changes nothing."""
    from snapmirror.night.night import Options
    from snapmirror.night.run import plan_mirrors

    shell = shell_of(context)
    if retention:
        _plan_retention(shell, mirrors or [], json=json)
        return
    with shown(quiet=shell.quiet) as progress:
        plans = plan_mirrors(shell.config, mirrors or [], Options(full), progress)
    if json:
        from snapmirror.views import run as view

        out_json([view.plan(name, planned) for name, planned in plans.items()])
        return
    for name, planned in plans.items():
        _show_plan(name, planned, None if everything else _SHOWN)


def _plan_retention(shell: Shell, names: list[str], *, json: bool) -> None:
    from snapmirror.night.run import expiry_of_mirrors

    found = expiry_of_mirrors(shell.config, names)
    if json:
        from snapmirror.views import run as view

        out_json([view.expiring(name, one.expiry, one.refusal) for name, one in found.items()])
        return
    for name, one in found.items():
        _show_expiry(name, one.expiry)
        if not one.expiry.decisions:
            out(f"{name}: the next snapshot lets none expire")
        if one.refusal is not None:
            _show_refusal(name, one.refusal)


def _show_expiry(name: str, expiry: Expiry) -> None:
    for one in expiry.decisions:
        out(f"{name}: {one.snapshot.id} will expire: {one.reason}")


def _show_plan(name: str, planned: Planned, most: int | None) -> None:
    counts = planned.plan.counts
    for number, (what, path) in enumerate(planned.plan.changes(), 1):
        if most is not None and number > most:
            out("  … and more; --all shows every name")
            break
        out(f"  {what:<10} {printable(path)}")
    for warning in [*planned.warnings, *planned.complaints]:
        note(f"{name}: warning: {warning}")
    out(
        f"{name}: {count(counts['added'], 'name')} to add, {counts['updated']} to update, "
        f"{counts['attributes']} with new attributes, {counts['linked']} to link, {counts['deleted']} to delete; "
        f"{size(counts['bytes'])} to fetch at most"
    )
    _show_expiry(name, planned.expiry)
    for refusal in planned.refusals:
        _show_refusal(name, refusal)


def _show_refusal(name: str, refusal: SnapmirrorError) -> None:
    note(f"{name}: a run would stop: {harmless(refusal.message)}")
    if refusal.hint:
        note(f"  hint: {harmless(refusal.hint)}")
