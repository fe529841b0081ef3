"""The steps of a run: each is named, timed and logged once; what it acquired is released in reverse order.

`step` is a piece of work; `hold` enters a context manager for the rest of the run and records its release as
well. The record of both edges (done, failed, released, stuck) goes into the report.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Literal, TypeVar

from msgspec import Struct, field

from snapmirror import interrupts
from snapmirror.errors import StuckError

log = logging.getLogger("snapmirror.run")
Held = TypeVar("Held")


class Step(Struct, frozen=True):
    """One edge of a step, with the seconds that it took."""

    name: str
    state: Literal["done", "failed", "released", "stuck"]
    seconds: float


class Pipeline(Struct):
    """The steps so far, and the stack of the managers that are held. Use it as a context manager."""

    steps: list[Step] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *exception: object) -> bool | None:
        with interrupts.deferred():  # a signal must not interrupt the release
            return self._stack.__exit__(*exception)  # type: ignore[arg-type]

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A piece of work."""
        interrupts.check()
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self._note(name, "failed", began)
            raise
        self._note(name, "done", began)

    def hold(self, name: str, manager: AbstractContextManager[Held]) -> Held:
        """Enter a context manager for the rest of the run."""

        @contextmanager
        def recorded() -> Iterator[Held]:
            began = time.monotonic()
            try:
                with manager as held:
                    self._note(name, "done", began)
                    try:
                        yield held
                    finally:
                        began = time.monotonic()
            except StuckError:  # on exit, or on entry when the last run has not ended yet
                self._note(name, "stuck", began)
                raise
            self._note(name, "released", began)

        return self._stack.enter_context(recorded())

    def _note(self, name: str, state: Literal["done", "failed", "released", "stuck"], began: float) -> None:
        self.steps.append(Step(name, state, round(time.monotonic() - began, 3)))
        log.info("%s %s (%.1f s)", name, state, self.steps[-1].seconds)
