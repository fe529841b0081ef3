"""Completion of commands, options and pages by the Tab key, in bash, zsh and fish.

For a completion the shell starts the program with a variable set, and typer answers. typer's own options for that
(`--install-completion`, `--show-completion`) are turned off: they would come first in every `--help`, and the first one
writes into the dotfiles of the user, here root's. `snapmirror help --completion bash` prints the script, and the
administrator installs it for the shells of all users.
"""

from __future__ import annotations

import os

from snapmirror.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_SNAPMIRROR_COMPLETE"


def enable() -> None:
    """Register the shells with typer, if a shell has started us for a completion."""
    if _VARIABLE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()


def script(shell: str) -> str:
    """The script for the shell. Raises UsageError for another shell than SHELLS."""
    from typer._completion_shared import get_completion_script

    if shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell!r}", hint=f"there is one for {', '.join(SHELLS)}")
    text = get_completion_script(prog_name="snapmirror", complete_var=_VARIABLE, shell=shell)
    # zsh reads a file of its search path at the first Tab, as a function, which must also complete that first Tab
    return f'{text}\n[ "$funcstack[1]" != _snapmirror ] || _snapmirror_completion "$@"' if shell == "zsh" else text
