"""`snapmirror init|mount|umount`: the store itself."""

from __future__ import annotations

import logging

import typer

from snapmirror.cli.output import out
from snapmirror.cli.shell import shell_of

log = logging.getLogger("snapmirror.cli")


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(init)
    app.command()(mount)
    app.command()(umount)


def init(context: typer.Context) -> None:
    """Make the image and the store in it, and prove it with a test of the storage. Refuses what it did not make."""
    from snapmirror.lock import run_lock
    from snapmirror.storage.initialise import initialise

    config = shell_of(context, steps=True).config
    with run_lock(config):
        initialise(config, log.info)
    out(f"the store {config.store.path} is ready; 'snapmirror run' makes the first snapshot")


def mount(context: typer.Context) -> None:
    """Mount the store read-only for browsing; 'snapmirror umount' ends that."""
    from snapmirror.storage.open_store import mount_for_browsing

    config = shell_of(context, steps=True).config
    mount_for_browsing(config)
    out(f"the snapshots are in {config.store.path}, read-only; 'snapmirror umount' releases them")


def umount(context: typer.Context) -> None:
    """End what 'snapmirror mount' began, and check that everything is released."""
    from snapmirror.storage.open_store import umount_store

    config = shell_of(context, steps=True).config
    umount_store(config)
    out("the store is released")
