"""Preparing a slot in a thread of its own, while the source is being listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

from snapmirror import interrupts
from snapmirror.threads import one_worker

_T = TypeVar("_T")


@contextmanager
def preparing(prepare: Callable[[Event], _T]) -> Iterator[Callable[[], _T]]:
    """Run `prepare` in a thread; call what this yields to wait for its result, or for what it raised.

    At the end of the block the event that `prepare` gets asks it to stop, and it is waited for.
    """
    stop = Event()
    with one_worker("slot") as worker:
        try:
            with interrupts.deferred():  # no interruption may lose a thread that is being started
                ready = worker.submit(prepare, stop)
            yield ready.result
        finally:
            stop.set()
