"""`snapmirror find|diff`: search and compare snapshots by their manifests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from snapmirror.cli.list_commands import tell_of_copies
from snapmirror.cli.output import note, out, out_json, table
from snapmirror.cli.progress import shown
from snapmirror.cli.shell import Json, MirrorName, name_argument, shell_of
from snapmirror.model import count, size
from snapmirror.text import harmless, local_time, printable

if TYPE_CHECKING:
    from snapmirror.history.histories import Found
    from snapmirror.snapshots.browse import Version
    from snapmirror.snapshots.difference import Difference
    from snapmirror.snapshots.entry import Entry
    from snapmirror.snapshots.history import Catalogue

SNAPSHOT_HELP = "An id, the beginning of one (a date), a slot number, or 'newest'."
_SIGNS = {"added": "+", "removed": "-", "moved": ">", "changed": "M", "attributes": "A", "rewritten": "="}
"""The mark of each kind of difference."""


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(find)
    app.command()(diff)


def names_of(mirror: str | None) -> list[str]:
    """The mirrors that --mirror names."""
    return [mirror] if mirror else []


# --- find


def find(
    context: typer.Context,
    path: Annotated[str, name_argument("PATH", "A name, a path, or a pattern with * ? [ in quotes.")],
    ignore_case: Annotated[bool, typer.Option("--ignore-case", "-i", help="Ignore upper and lower case.")] = False,
    mirror: MirrorName = None,
    json: Json = False,
) -> None:
    """Show every version of a file, and where to copy it from.

    A name or pattern without a slash matches last components: hosts, '*.conf'. With a slash it matches whole paths,
    and a star matches slashes as well: /etc/hosts, '/etc/*.conf'.
    """
    from snapmirror.errors import ExitCode
    from snapmirror.history.histories import looked_up
    from snapmirror.snapshots.browse import pattern_of, search
    from snapmirror.views import names as views

    shell = shell_of(context)
    wanted = pattern_of(os.fsencode(path), ignore_case=ignore_case)
    rows: list[tuple[str, bytes, list[Version], Catalogue]] = []
    damaged: list[str] = []
    searched = 0
    with looked_up(shell.config, names_of(mirror)) as histories, shown(quiet=shell.quiet) as progress:
        tell_of_copies(histories)
        for config, history in histories:
            progress.begin(f"searching {config.name}", names=len(history.snapshots()))
            done = search(
                history,
                wanted,
                lambda name=config.name: histories.published(name),  # type: ignore[misc]
                lambda: progress.advance(1),
            )
            progress.end()
            damaged += done.damaged
            searched += done.searched
            rows += [(config.name, name, versions, history) for name, versions in sorted(done.found.items())]
    if json:
        out_json([views.version(name, one, store) for name, _, versions, store in rows for one in versions])
    else:
        _show_versions(rows, several=len(histories.mirrors) > 1)
        if not rows:
            note(f"no snapshot of {searched} holds {printable(path)}; names are relative to the source")
    for complaint in damaged:
        note(f"warning: {complaint}")
    if damaged:
        raise typer.Exit(int(ExitCode.WARNINGS))


def _show_versions(rows: Sequence[tuple[str, bytes, list[Version], Catalogue]], *, several: bool) -> None:
    if not rows:
        return
    lines = [_version_row(mirror, one, store, several) for mirror, _, versions, store in rows for one in versions]
    headings = [*(["MIRROR"] if several else []), "IN SNAPSHOTS", "N", "SIZE", "MODIFIED", "COPY FROM"]
    table(headings, lines, right=(2, 3) if several else (1, 2))
    found = len({(mirror, path) for mirror, path, _, _ in rows})
    note(f"{count(found, 'name')}, {count(len(lines), 'version')}")


def _version_row(mirror: str, version: Version, history: Catalogue, several: bool) -> list[str]:
    from snapmirror.views import names as views

    entry, newest, oldest = version.entry, version.snapshots[0], version.snapshots[-1]
    return [
        *([mirror] if several else []),
        newest.id if newest == oldest else f"{oldest.id} … {newest.id}",
        str(len(version.snapshots)),
        size(entry.size) if entry.kind == b"f" else views.KINDS[entry.kind],
        local_mtime(entry),
        printable(views.place(history, newest, entry.path)),
    ]


def local_mtime(entry: Entry) -> str:
    from snapmirror.snapshots import times

    with suppress(ValueError, OverflowError, OSError):  # a year that Python, or local time, cannot represent
        return local_time(datetime.fromtimestamp(entry.mtime, UTC))
    return f"{times.shown(entry.mtime)} UTC"


# --- diff


def diff(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help=SNAPSHOT_HELP)],
    b: Annotated[str, typer.Argument(metavar="B", help="The other snapshot, usually the newer one.")],
    path: Annotated[
        str | None,
        name_argument("PATH", "A folder: only what lies below. A file: its text, line by line."),
    ] = None,
    mirror: MirrorName = None,
    json: Json = False,
) -> None:
    """Show what differs between two snapshots.

    + added, - removed, > moved, M other content, A other attributes, = written again but looks the same.
    Example: snapmirror diff 2 1 /etc/fstab
    """
    from snapmirror.errors import ExitCode
    from snapmirror.history.histories import looked_up
    from snapmirror.history.text_difference import text_difference
    from snapmirror.snapshots.browse import normal
    from snapmirror.snapshots.difference import compare
    from snapmirror.views import names as views

    shell = shell_of(context)
    with looked_up(shell.config, names_of(mirror)) as histories:
        tell_of_copies(histories)
        old, new = histories.find(a), histories.find(b)
        _check_same_mirror(old, new)
        done = compare(old.history, old.snapshot, new.snapshot, trees=histories.busy is None)
        if path is not None:
            name = normal(os.fsencode(path))
            done.differences = [one for one in done.differences if _is_at(one, name)]
            if histories.busy is not None:  # its text cannot be read
                if not json and any(one.path == name and not _is_folder(one) for one in done.differences):
                    raise histories.busy
            elif not json and (lines := text_difference(old, new, name)):  # else its attributes
                for line in lines:
                    out(harmless(line))
                return
    if json:
        out_json([views.difference(one) for one in done.differences])
    else:
        _show_differences(done.differences)
        note(f"{old.snapshot.id} … {new.snapshot.id}: {_summary(done.differences)}")
    for complaint in done.complaints:
        note(f"warning: {complaint}")
    if done.complaints:
        raise typer.Exit(int(ExitCode.WARNINGS))


def _is_at(one: Difference, path: bytes) -> bool:
    """Whether a difference concerns this name or one below it; also if it moved there, or away."""
    from snapmirror.snapshots.entry import is_within

    names = (one.path, *([one.source] if one.source is not None else []))
    return path == b"." or any(is_within(name, path) for name in names)


def _check_same_mirror(old: Found, new: Found) -> None:
    from snapmirror.errors import UsageError

    if old.mirror.name != new.mirror.name:
        raise UsageError(
            f"{old.snapshot.id} is of {old.mirror.name}, {new.snapshot.id} of {new.mirror.name}",
            hint="only snapshots of one mirror can be compared; choose it with --mirror NAME",
        )


def _show_differences(differences: Sequence[Difference]) -> None:
    for one in differences:
        if _is_noise(one):
            continue
        name = printable(one.path) + ("/" if (one.after or one.before) and _is_folder(one) and one.path != b"." else "")
        if one.source is not None:
            name = f"{printable(one.source)} > {name}"
        out(f"{_SIGNS[one.kind]} {name}{_details(one)}")


def _is_folder(one: Difference) -> bool:
    entry = one.after or one.before
    return entry is not None and entry.is_directory


def _is_noise(one: Difference) -> bool:
    """A folder gets a new time whenever a name in it is added or removed."""
    return _is_folder(one) and one.what == ("time",)


def _details(one: Difference) -> str:
    before, after = one.before, one.after
    if before is None or after is None or not one.what:
        return ""
    from snapmirror.views import names as views

    shown = {
        "size": f"size {size(before.size)} > {size(after.size)}",
        "mode": f"mode {before.permissions.decode('latin-1')} > {after.permissions.decode('latin-1')}",
        "owner": f"owner {before.uid} > {after.uid}",
        "group": f"group {before.gid} > {after.gid}",
        "type": f"{views.KINDS[before.kind]} > {views.KINDS[after.kind]}",
        "target": f"target {printable(before.target or b'')} > {printable(after.target or b'')}",
    }
    return "  (" + ", ".join(shown.get(what, what) for what in one.what) + ")"


def _summary(differences: Sequence[Difference]) -> str:
    from snapmirror.snapshots import difference

    seen = [one for one in differences if not _is_noise(one)]
    parts = [f"{number} {kind}" for kind in difference.KINDS if (number := sum(one.kind == kind for one in seen))]
    noise = len(differences) - len(seen)
    if noise:
        parts.append(f"{count(noise, 'folder')} of which only the time changed (not shown)")
    return ", ".join(parts) or "no difference"
