"""`snapmirror host check|prepare`: the Windows machine that serves the share, queried over WinRM."""

from __future__ import annotations

from typing import Annotated

import typer

from snapmirror.cli.commands import Group
from snapmirror.cli.doctor_command import show
from snapmirror.cli.output import note, out, out_json
from snapmirror.cli.shell import Json, shell_of
from snapmirror.errors import ExitCode, HostError
from snapmirror.model import count
from snapmirror.text import harmless

app = typer.Typer(
    cls=Group,
    help="Check and prepare the Windows machine that serves the share.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(program: typer.Typer) -> None:
    """Add this group of commands to the program."""
    program.add_typer(app, name="host")


@app.command()
def check(context: typer.Context, json: Json = False) -> None:
    """Check volume, image, SMB, sleep, pending restart and clock on Windows; show how to mend what is wrong."""
    from snapmirror.check import failed, verdict
    from snapmirror.config import load
    from snapmirror.windows.asking import configured
    from snapmirror.windows.checks import judge
    from snapmirror.windows.facts import Facts, survey

    shell = shell_of(context)
    config = load(shell.config_path)
    configured(config)
    facts = Facts()
    try:
        facts = survey(config)
        checks = list(judge(config, facts))
    except HostError as error:
        checks = [failed("host", error)]
    code = verdict(checks)
    if json:
        from snapmirror.views import checks as view

        out_json(view.host(checks, facts))
    else:
        for line in checks:
            if not (shell.quiet and line.level == "ok"):
                show(line)
    raise typer.Exit(int(code))


@app.command()
def prepare(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would be done.")] = False,
    json: Json = False,
) -> None:
    """Set up on Windows what 'check' finds missing: event source, sparse mark, encryption. Needs an administrator."""
    from snapmirror.config import load
    from snapmirror.windows.prepare import prepare as carry_out

    shell = shell_of(context, steps=True)
    steps = carry_out(load(shell.config_path), dry_run=dry_run)
    failures = sum(step.error is not None for step in steps)
    code = ExitCode.STORAGE if failures else ExitCode.DONE
    if json:
        from snapmirror.views import checks as view

        out_json(view.prepared(steps, code))
        raise typer.Exit(int(code))
    for step in steps:
        if step.error:
            note(f"failed: {step.what}: {harmless(step.error)}")
        else:
            out(f"{'done' if step.done else 'would'}: {harmless(step.what)}")
    if not steps:
        out("nothing to do")
    elif failures:
        note(f"{failures} of {count(len(steps), 'step')} failed; an administrator's account may do them")
    raise typer.Exit(int(code))
