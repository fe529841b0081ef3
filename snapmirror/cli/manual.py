"""The manual pages snapmirror(1) and snapmirror.toml(5), made from the commands' own help and from the pages.

Our own code: the libraries that make manual pages from a tree of commands (click-man, argparse-manpage) support neither
typer's own copy of click nor the configuration, and would be one more locked package for some sixty lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snapmirror import __version__, pages
from snapmirror.cli import roff
from snapmirror.cli.global_options import SYSTEM_CONFIG, VARIABLE

_SUMMARY = "dated, browsable, unchanging backups of remote servers"


def write(folder: Path, context: Any) -> list[Path]:
    """Write both pages where `man` searches below a folder of its path; `context` is that of any command of ours.

    Returns the written files. Raises OSError.
    """
    made = {
        folder / "man1" / "snapmirror.1": commands(context.find_root()),
        folder / "man5" / "snapmirror.toml.5": configuration(),
    }
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(made)


def commands(root: Any) -> str:
    """snapmirror(1), in roff; `root` is the context of the whole program."""
    lines = _title("snapmirror", 1, _SUMMARY)
    lines += [".SH SYNOPSIS", *_usage(root), ".SH DESCRIPTION", *_told(root.command)]
    lines += [".SH OPTIONS", *_options(root), ".SH COMMANDS"]
    for context in _leaves(root):
        lines += [f".SS {roff.quoted(context.command_path)}", *_usage(context), *_told(context.command)]
        lines += _options(context)
    lines += [".SH EXIT STATUS", *roff.from_markdown(_body("exit-codes"))]
    lines += [".SH ENVIRONMENT", *roff.term(VARIABLE, "The configuration, where `--config` names none.")]
    lines += roff.term("PAGER", "Shows the pages of `snapmirror help` on a terminal; default: less.")
    lines += [".SH FILES", *roff.term(str(SYSTEM_CONFIG), "The configuration: snapmirror.toml(5).")]
    lines += roff.term("/var/lib/snapmirror", "The state kept between runs (`state_dir`).")
    lines += [".SH PAGES", ".PP", roff.inline("`snapmirror help PAGE` shows one of these:")]
    for name in pages.NAMES:
        lines += roff.term(name, pages.summary(name))
    return _text([*lines, *_see("snapmirror.toml(5)", "rsync(1)", "cryptsetup(8)", "cron(8)")])


def configuration() -> str:
    """snapmirror.toml(5), in roff."""
    lines = _title("snapmirror.toml", 5, "the configuration of snapmirror")
    lines += [".SH DESCRIPTION", *roff.from_markdown(_body("configuration"))]
    lines += [".SH FILES", *roff.term(str(SYSTEM_CONFIG), "The default path.")]
    return _text([*lines, *_see("snapmirror(1)")])


def _title(name: str, section: int, summary: str) -> list[str]:
    head = f'.TH {roff.quoted(name.upper())} {section} "" {roff.quoted(f"snapmirror {__version__}")}'
    return [head, ".nh", ".ad l", ".SH NAME", f"{roff.plain(name)} \\- {roff.plain(summary)}"]


def _see(*others: str) -> list[str]:
    return [".SH SEE ALSO", ", ".join(roff.plain(one) for one in others)]


def _text(lines: list[str]) -> str:
    return "\n".join(line for line in lines if line) + "\n"


def _body(page: str) -> str:
    """A page without its title and summary."""
    return pages.text(page).split("\n", 3)[3]


def _leaves(context: Any) -> list[Any]:
    """The contexts of all commands that can be typed, in the order of --help."""
    found = []
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        if command.hidden:
            continue
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        found += _leaves(inner) if hasattr(command, "commands") else [inner]
    return found


def _usage(context: Any) -> list[str]:
    words = " ".join(context.command.collect_usage_pieces(context))
    return [".PP", f"\\fB{roff.plain(context.command_path)}\\fR {roff.plain(words)}"]


def _told(command: Any) -> list[str]:
    return roff.from_markdown((command.help or "").replace("\f", ""))


def _options(context: Any) -> list[str]:
    """The words and options of a command; --help appears only once, with the program's own options."""
    lines = []
    for param in context.command.get_params(context):
        record = param.get_help_record(context)
        if record and ("--help" not in param.opts or context.parent is None):
            lines += roff.term(record[0].partition(" <")[0], record[1])  # (behind it stands the type in Python's words)
    return lines
