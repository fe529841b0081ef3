"""What `--help` says of the commands: each with its whole first sentence, however narrow the terminal is."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

_WHOLE = 1000


class Group(TyperGroup):
    """A group of commands whose summaries are folded, not cut off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(_WHOLE)) for name, one in found if one is not None and not one.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
