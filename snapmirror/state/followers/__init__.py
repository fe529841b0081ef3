"""Those who follow a run: they hear that it began, what is known so far, and that it has ended.

One that fails takes nothing from the run: what it could not do is a warning of the report, and the others hear all the
same. A new follower (mail, a ping) is a class and its place in the list of `night.run`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snapmirror import interrupts
from snapmirror.errors import ExitCode, Interrupted, SnapmirrorError, StuckError
from snapmirror.state.report import RunReport

if TYPE_CHECKING:
    from snapmirror.config import Config
    from snapmirror.state.summary import Space, Success, Summary, Waiting

log = logging.getLogger("snapmirror.run")


@dataclass
class Run:
    """A run, as its followers see it. `finished` is in seconds since 1970.

    `last_success` is by mirror, and as `space` of the moment when the store was last open; `error` is what ended the
    run before its end; `waiting` are the mirrors that it is going to try again; `remembered` is what the summary file
    says since this run.
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
        """The one that the command ends with."""
        return self.error.exit_code if self.error is not None else self.report.exit_code


class Follower:
    """Hears of a run; by itself it does nothing. What goes wrong may be raised: it becomes a warning."""

    def began(self, run: Run) -> AbstractContextManager[object]:
        """The run begins; what is returned is entered now, and left when the run is over, however it ends."""
        return nullcontext()

    def so_far(self, run: Run) -> None:
        """Something is known that must not get lost when the machine stops now. May be called often."""

    def ended(self, run: Run) -> None:
        """The run is over, and the store is closed. Called once, but not when the program dies of a bug."""


class Followers:
    """All followers of a run, in the order in which they hear."""

    def __init__(self, run: Run, followers: Sequence[Follower]) -> None:
        self._run, self._followers = run, followers

    @contextmanager
    def began(self) -> Iterator[None]:
        """Tell all of them that the run begins; when the block is left it is over."""
        with ExitStack() as stack:
            for one in self._followers:
                with self._warning(one):
                    stack.enter_context(one.began(self._run))
            yield

    def so_far(self, finished: float) -> None:
        """Tell all of them what is known so far, as of `finished`, seconds since 1970."""
        self._run.finished = finished
        for one in self._followers:
            with self._warning(one):
                one.so_far(self._run)

    def ended(self) -> None:
        """Tell all of them that the run is over; then once more what is known, as some may have had warnings."""
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
