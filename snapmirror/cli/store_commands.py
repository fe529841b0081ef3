"""`snapmirror init|mount|umount`: the store itself."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer

from snapmirror.cli import logs
from snapmirror.cli.output import note, out, out_json
from snapmirror.cli.shell import Json, shell_of
from snapmirror.model import size
from snapmirror.text import duration, printable

log = logging.getLogger("snapmirror.cli")


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(init)
    app.command()(mount)
    app.command()(umount)


def init(context: typer.Context) -> None:
    """Make the store, and test its storage.

    Makes the image, its encryption and its file system; without [image], the folder. Refuses files of others.
    """
    from snapmirror.storage.initialise import initialise
    from snapmirror.storage.run_lock import run_lock

    shell = shell_of(context)
    with run_lock(shell.config, making=True):
        report = initialise(shell.config, log.debug if shell.quiet else note)
    if shell.quiet:
        return
    for warning in report.warnings:
        note(f"note: {warning}")
    made = f"the image {report.image} ({size(report.taken_bytes)} taken so far)" if report.image else str(report.path)
    tested = f"passed the storage self-test in {duration(report.selftest.seconds)}"
    out(printable(f"{made} was made in {duration(report.seconds)}, and {tested}"))
    out("'snapmirror run' makes the first snapshot")


def mount(
    context: typer.Context,
    readable: Annotated[
        bool,
        typer.Option("--readable", help="For every user of this machine, not only for root: as its modes allow."),
    ] = False,
    json: Json = False,
) -> None:
    """Mount the store read-only, for browsing; 'snapmirror umount' unmounts it."""
    from snapmirror.errors import Interrupted, ignored
    from snapmirror.history.histories import opened, refuse_busy
    from snapmirror.storage.open_store import mount_for_browsing, umount_store

    shell = shell_of(context, steps=not json)
    config = shell.config
    refuse_busy(config)
    done = mount_for_browsing(config, readable=readable)
    try:
        with ignored(), opened(config):  # it reports whether it is an older state of the store
            pass
    except Interrupted:
        if done:
            umount_store(config)
        raise
    path = printable(config.store.path)
    if json:
        from snapmirror.views import store as view

        out_json(view.mount(config, logs.warnings(), mounted=done, readable=readable))
    elif config.is_plain:
        shell.say(f"the store {path} is a plain folder; there is nothing to mount")
    else:
        who = "every user" if readable else "root alone"
        where = f"{'' if done else 'already '}in {path}, read-only, for {who}"
        shell.say(f"the snapshots are {where}; 'snapmirror umount' releases them")


def umount(context: typer.Context) -> None:
    """Undo 'snapmirror mount', and check that all is released."""
    from snapmirror.errors import LockedError
    from snapmirror.history.histories import refuse_busy
    from snapmirror.storage import export_lock
    from snapmirror.storage.open_store import umount_store

    shell = shell_of(context, steps=True)
    config = shell.config
    if config.export is not None and export_lock.is_exported(config):
        raise LockedError(
            "the export has the store open",
            hint="end 'snapmirror export serve'; in the helper VM: 'systemctl stop snapmirror-export'",
        )
    refuse_busy(config)
    os.chdir("/")  # inside the store this process would keep it busy
    shell.say("the store is released" if umount_store(config) else "nothing was mounted or attached")
