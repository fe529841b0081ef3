"""Followers of a run: they are called when it begins, when there are results, and when it has ended.

A follower that fails does not change the run: its failure becomes a warning of the report, and the others are called
all the same. A new follower (mail, a ping) is a class and its place in the list of `night.run`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

from msgspec import Struct, field

from snapmirror import interrupts
from snapmirror.errors import ExitCode, Interrupted, SnapmirrorError, StuckError
from snapmirror.state.report import RunReport

if TYPE_CHECKING:
    from snapmirror.config import Config
    from snapmirror.state.summary import Space, Success, Summary, Waiting

log = logging.getLogger("snapmirror.run")


class Run(Struct):
    """A run, for its followers. `finished` is in seconds since 1970.

    `last_success` is by mirror; it and `space` are as of the last time when the store was open; `error` is what ended
    the run early; `waiting` are the mirrors that it is going to retry; `remembered` is the content of the summary file
    after this run.
    """

    config: Config
    report: RunReport = field(default_factory=RunReport)
    finished: float = 0.0
    last_success: dict[str, Success] = field(default_factory=dict)
    space: Space | None = None
    error: SnapmirrorError | None = None
    waiting: dict[str, Waiting] = field(default_factory=dict)
    remembered: Summary | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command."""
        return self.error.exit_code if self.error is not None else self.report.exit_code


class Follower:
    """A follower of a run; this base class does nothing. It may raise errors: they become warnings."""

    def began(self, run: Run) -> AbstractContextManager[object]:
        """The run begins; the returned context is entered now, and left when the run is over, however it ends."""
        return nullcontext()

    def so_far(self, run: Run) -> None:
        """There are results that must not get lost if the machine stops now. May be called often."""

    def ended(self, run: Run) -> None:
        """The run is over, and the store is closed. Called once, but not if a bug ends the program."""


class Followers:
    """All followers of a run, in the order in which they are called."""

    def __init__(self, run: Run, followers: Sequence[Follower]) -> None:
        self._run, self._followers = run, followers

    @contextmanager
    def began(self) -> Iterator[None]:
        """Call all of them: the run begins; it is over at the end of the block."""
        with ExitStack() as stack:
            for one in self._followers:
                with self._warning(one):
                    stack.enter_context(one.began(self._run))
            yield

    def so_far(self, finished: float) -> None:
        """Call all of them with the results so far, as of `finished`, seconds since 1970."""
        self._run.finished = finished
        for one in self._followers:
            with self._warning(one):
                one.so_far(self._run)

    def ended(self) -> None:
        """Call all of them: the run is over; then again with the results, as some may have added warnings."""
        for one in self._followers:
            with self._warning(one):
                one.ended(self._run)
        self.so_far(self._run.finished)

    @contextmanager
    def _warning(self, follower: Follower) -> Iterator[None]:
        try:
            yield
        except (Interrupted, StuckError):
            raise
        except SnapmirrorError as error:
            self._warn(error.message)
        except Exception as error:
            interrupts.check()  # a signal may arrive where somebody wraps what a handler raises
            log.debug("the traceback", exc_info=True)
            self._warn(f"{type(follower).__name__} failed: {type(error).__name__}: {error}")

    def _warn(self, sentence: str) -> None:
        if sentence not in self._run.report.warnings:
            self._run.report.warnings.append(sentence)
