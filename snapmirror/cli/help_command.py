"""`snapmirror help [PAGE]`: the pages in the package, and what is made from them. Needs no configuration.

On a terminal a page is laid out by rich and shown by $PAGER, else less; piped output is the plain Markdown.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from snapmirror.cli.output import flush, out
from snapmirror.errors import UsageError
from snapmirror.text import printable

_MOST_COLUMNS = 110
# -F: a page that fits is just printed; -R: colours; -X: it stays on the screen; secure: no shell out of root's pager.
_LESS = {"LESS": "FRX", "LESSSECURE": "1"}


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command(name="help")(show)


def _completed(incomplete: str) -> list[str]:
    from snapmirror import pages

    return [name for name in pages.NAMES if name.startswith(incomplete)]


def show(
    context: typer.Context,
    page: Annotated[
        str | None,
        typer.Argument(
            metavar="PAGE", show_default=False, autocompletion=_completed, help="A page; none: list them all."
        ),
    ] = None,
    man: Annotated[
        Path | None,
        typer.Option(
            "--man",
            metavar="FOLDER",
            file_okay=False,
            help="Write the manual pages snapmirror(1) and snapmirror.toml(5) below it, such as /usr/local/share/man.",
        ),
    ] = None,
    completion: Annotated[
        str | None,
        typer.Option("--completion", metavar="SHELL", help="Print the completion script for bash, zsh or fish."),
    ] = None,
) -> None:
    """List the pages, one per task, or show one: 'snapmirror help restore'."""
    if sum(one is not None for one in (page, man, completion)) > 1:
        raise typer.BadParameter("a page, --man and --completion exclude each other")
    if man is not None:
        _write_manual(man, context)
        return
    if completion is not None:
        from snapmirror.cli.completion import script

        out(script(completion))
        return
    if page is None:
        _list()
        return
    from snapmirror import pages

    text = pages.text(known(page))
    if not sys.stdout.isatty():
        out(text.rstrip("\n"))
        return
    text = laid_out(text, min(shutil.get_terminal_size().columns, _MOST_COLUMNS))
    _to_the_pager(text)
    out(text.rstrip("\n"))


def known(wanted: str) -> str:
    """The name of a page; also of a link to it (`verify.md#…`). Raises UsageError, which lists near names."""
    from snapmirror import pages

    name = wanted.partition("#")[0].removesuffix(".md").lower()
    if name in pages.NAMES:
        return name
    from difflib import get_close_matches

    near = [one for one in pages.NAMES if name and (name in one or name in pages.summary(one).lower())]
    near = list(dict.fromkeys([*get_close_matches(name, pages.NAMES), *near]))
    hint = f"similar: {', '.join(near)}; " if near else ""
    raise UsageError(f"there is no page {wanted!r}", hint=f"{hint}'snapmirror help' lists all pages")


def _write_manual(folder: Path, context: typer.Context) -> None:
    from snapmirror.cli import manual

    try:
        for path in manual.write(folder, context):
            out(printable(path))
    except OSError as error:
        raise UsageError(f"{printable(error.filename or folder)} cannot be written: {error.strerror}") from error


def _list() -> None:
    from snapmirror import pages

    wide = max(map(len, pages.NAMES))
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for title, names in pages.GROUPS.items():
        out(f"{title}:")
        for name in names:
            first, summary = f"  {name:<{wide}}  ", pages.summary(name)
            room = columns - len(first)
            lines = textwrap.wrap(summary, room) if room > 20 else [summary]
            out(first + f"\n{' ' * len(first)}".join(lines))
        out()
    out("'snapmirror help PAGE' shows a page.")
    out("'snapmirror COMMAND --help' shows the options of a command.")


def laid_out(text: str, columns: int) -> str:
    """Markdown for a terminal; a link to another page becomes the command that shows it."""
    import io
    import re

    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(file=io.StringIO(), force_terminal=True, width=columns, legacy_windows=False)
    text = re.sub(r"\[([^\]]+)\]\(([a-z0-9-]+)\.md[^)]*\)", r"\1 (*help \2*)", text)
    text = re.sub(r"\[([^\]]+)\]\((?:\.\./)+([^)#]+)[^)]*\)", r"\1 (*\2*)", text)
    console.print(Markdown(text, code_theme="ansi_dark", hyperlinks=False))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _to_the_pager(text: str) -> None:
    """This process becomes the pager; returns where there is none."""
    from snapmirror import process

    try:
        argv = shlex.split(os.environ.get("PAGER", "less"))
    except ValueError:  # a quote that is not closed
        return
    if argv:
        flush()
        process.become(argv, stdin=text.encode(), env={**_LESS, **os.environ})
