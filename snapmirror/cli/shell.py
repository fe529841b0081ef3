"""Shared by all commands: the options before the command, and the configuration that they name."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from typer.models import ArgumentInfo

from snapmirror.cli import logs
from snapmirror.cli.global_options import SYSTEM_CONFIG
from snapmirror.cli.output import flush, out
from snapmirror.model import NOTICE

if TYPE_CHECKING:
    from snapmirror.config import Config


class Shell(Struct, dict=True):
    """The options before the command. Only commands that do work log their steps, not those that only answer."""

    config_path: Path = SYSTEM_CONFIG
    quiet: bool = False
    verbose: bool = False

    def speak(self, *, steps: bool) -> None:
        """Set the log up for a command; `steps`: it does work, so each step is a line."""
        usual = logging.INFO if steps else NOTICE
        logs.set_up(logging.DEBUG if self.verbose else logging.WARNING if self.quiet else usual)

    def say(self, line: str) -> None:
        """A line about what a command has done, for people, in addition to the exit code."""
        if not self.quiet:
            out(line)

    @cached_property
    def config(self) -> Config:
        """The configuration; read at the first use. With a share, a watched worker does everything that follows.

        In the process that watches it, this ends with the worker's exit code.
        """
        from snapmirror.config import load

        config = load(self.config_path)
        if config.share is not None or config.image_copy is not None:
            from snapmirror.storage.watchdog import watch

            flush()  # output so far must be written by one of the two only
            if (code := watch(config)) is not None:
                raise typer.Exit(code)
        return config


def _name(text: str) -> str:
    if not text:  # it would be the whole tree
        raise typer.BadParameter("an empty name is no name; is a variable unset?")
    return text


def name_argument(metavar: str, text: str) -> ArgumentInfo:
    """An argument, with its help, that is a name in a snapshot or several. An empty one, as from an unset variable of a
    shell, is an error."""
    argument: ArgumentInfo = typer.Argument(metavar=metavar, help=text, parser=_name)
    return argument


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
MirrorName = Annotated[str | None, typer.Option("--mirror", metavar="NAME", help="Only this mirror.")]


def shell_of(context: typer.Context, *, steps: bool = False) -> Shell:
    """The options before the command, with the log set up."""
    shell = context.find_object(Shell) or Shell()
    shell.speak(steps=steps)
    try:
        Path.cwd()
    except FileNotFoundError:  # it was removed meanwhile: the programs that we run would fail in it
        os.chdir("/")
    return shell
