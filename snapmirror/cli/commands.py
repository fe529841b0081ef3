"""The commands by name. Each is made when it is used: to make all of them takes longer than most of them run."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

# In the order of `--help`, with the module of this package whose `register` adds it.
MODULES = {
    "init": "store_commands",
    "mount": "store_commands",
    "umount": "store_commands",
    "run": "run_commands",
    "plan": "run_commands",
    "copy-image": "copy_command",
    "status": "status_command",
    "log": "log_command",
    "list": "list_commands",
    "pin": "list_commands",
    "unpin": "list_commands",
    "find": "history_commands",
    "diff": "history_commands",
    "ls": "look_commands",
    "cat": "look_commands",
    "restore": "restore_command",
    "verify": "verify_command",
    "forget": "removal_commands",
    "purge": "removal_commands",
    "retire": "removal_commands",
    "doctor": "doctor_command",
    "export": "export_commands",
    "config": "config_commands",
    "host": "host_commands",
    "help": "help_command",
}
_WHOLE = 1000  # no summary is as long


class Group(TyperGroup):
    """A group of commands whose summaries are folded in `--help`, not cut off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(_WHOLE)) for name, one in found if one is not None and not one.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Program(Group):
    """The commands of the program."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(self.commands)


class _Commands(MutableMapping[str, Any]):
    """A command's module is imported, and its options are read, when the command is looked up."""

    def __init__(self, made: MutableMapping[str, Any]) -> None:
        self._made = made
        self._names = dict.fromkeys([*MODULES, *made])

    def __getitem__(self, name: str) -> Any:
        if name not in self._made and name in MODULES:
            module = import_module(f"snapmirror.cli.{MODULES[name]}")
            some = typer.Typer(cls=Group, rich_markup_mode=None)
            some.callback()(_nothing)
            module.register(some)
            self._made.update(get_group(some).commands)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command
        self._names[name] = None

    def __delitem__(self, name: str) -> None:
        del self._made[name], self._names[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _nothing() -> None:
    """typer needs this in a group with a single command."""
