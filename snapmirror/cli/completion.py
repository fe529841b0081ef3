"""Completion of commands, options and pages by the Tab key, in bash, zsh and fish.

The shell asks by starting the program with a variable set. typer answers, but its own options for that
(`--install-completion`, `--show-completion`) are switched off: they would stand first in every `--help`, and the first
one writes into the dotfiles of whoever types it, here root's. `snapmirror help --completion bash` prints the script,
and the administrator puts it where the shell of all users looks.
"""

from __future__ import annotations

import os

from snapmirror.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_SNAPMIRROR_COMPLETE"


def enable() -> None:
    """Teach typer the shells, if it is one that has started us."""
    if _VARIABLE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()


def script(shell: str) -> str:
    """What the shell is to read. Raises UsageError for another shell than SHELLS."""
    from typer._completion_shared import get_completion_script

    if shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell!r}", hint=f"there is one for {', '.join(SHELLS)}")
    text = get_completion_script(prog_name="snapmirror", complete_var=_VARIABLE, shell=shell)
    # zsh reads a file of its search path at the first Tab, as a function; that one, too, must complete something
    return f'{text}\n[ "$funcstack[1]" != _snapmirror ] || _snapmirror_completion "$@"' if shell == "zsh" else text
