"""`snapmirror ls|cat`: shows folders and files of one snapshot."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from snapmirror.cli.history_commands import SNAPSHOT_HELP, local_mtime, names_of
from snapmirror.cli.list_commands import tell_of_copies
from snapmirror.cli.output import out, out_bytes, out_json, table
from snapmirror.cli.shell import Json, MirrorName, name_argument, shell_of
from snapmirror.text import harmless, printable

if TYPE_CHECKING:
    from snapmirror.snapshots.entry import Entry

_BLOCK = 1 << 20
Snapshot = Annotated[str, typer.Argument(metavar="SNAPSHOT", help=SNAPSHOT_HELP)]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command("ls")(ls)
    app.command()(cat)


def ls(
    context: typer.Context,
    snapshot: Snapshot,
    path: Annotated[str, name_argument("PATH", "A folder or file, relative to the source.")] = "/",
    mirror: MirrorName = None,
    json: Json = False,
) -> None:
    """List a folder of a snapshot, as ls -l does.

    Example: snapmirror ls newest /etc
    """
    from snapmirror.history.histories import looked_up
    from snapmirror.history.lookup import wanted
    from snapmirror.snapshots.browse import folder

    with looked_up(shell_of(context).config, names_of(mirror)) as histories:
        tell_of_copies(histories)
        found = histories.find(snapshot)
        [name] = wanted(found, [os.fsencode(path)], patterns=False, tree=False)
        entries = folder(found.history, found.snapshot, name)
    if json:
        from snapmirror.views import names as views

        out_json([views.entry(one) for one in entries])
    elif entries:
        table(["MODE", "OWNER", "GROUP", "SIZE", "MODIFIED", "NAME"], map(_row, entries), right=(1, 2, 3))


def _row(entry: Entry) -> list[str]:
    kind = {b"f": "-", b"L": "l", b"S": "s"}.get(entry.kind, entry.kind.decode("ascii", "replace"))  # d, D: a device
    name = printable(entry.path.rpartition(b"/")[2]) + ("/" if entry.is_directory else "")
    if entry.target is not None:
        name += f" -> {printable(entry.target)}"
    mode = kind + entry.permissions.decode("latin-1")
    return [mode, str(entry.uid), str(entry.gid), f"{entry.size:,}", local_mtime(entry), name]


def cat(
    context: typer.Context,
    snapshot: Snapshot,
    path: Annotated[str, name_argument("PATH", "A file, relative to the source.")],
    mirror: MirrorName = None,
) -> None:
    """Print a file of a snapshot. On a terminal, bytes that are not text are escaped.

    Example: snapmirror cat 2026-11-20 /etc/fstab > fstab.old
    """
    from snapmirror.errors import UsageError
    from snapmirror.history.histories import opened
    from snapmirror.history.lookup import wanted
    from snapmirror.snapshots.names import Tree

    with opened(shell_of(context).config, names_of(mirror), locked=True) as histories:
        found = histories.find(snapshot)
        [name] = wanted(found, [os.fsencode(path)], patterns=False)
        tree = Tree(found.tree)
        if not tree.is_file(name):
            raise UsageError(f"{printable(name)} is not a file", hint=f"'snapmirror ls {snapshot}' lists folders")
        with open(os.open(tree.at(name), os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            while block := file.read(_BLOCK):
                if sys.stdout.isatty():
                    out(harmless(os.fsdecode(block)))
                else:
                    out_bytes(block)
