"""Undo in reverse: acts, verifies, and never removes a layer below one that is stuck.

Runs no program. Every layer (mount, mapping, loop device, export) is a context manager that wraps its acquiring *and*
its use in `undone_by(release)`. `release` asks the kernel what exists and removes that, so it also works for a layer
that was only half acquired, after a crash, and twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from snapmirror.errors import ShareLost, SnapmirrorError, StuckError
from snapmirror.interrupts import deferred

DEADLINE_SECONDS = 5.0
KERNEL_SECONDS = 30.0
"""For something unused, or used only for a moment, to be gone; it takes long only on a busy machine."""
_PAUSE_SECONDS = 0.02


class LeaveStanding(Exception):  # noqa: N818  (a way out, not a mistake)
    """Raised inside a stack of layers to leave it without undoing any: `snapmirror mount` ends in this way."""


@contextmanager
def undone_by(release: Callable[[], None]) -> Iterator[None]:
    """Call `release` at the end of the block, with or without an error.

    A StuckError from the block passes through and nothing is released: what is stuck still uses this layer, and it
    outranks everything else. A StuckError from `release` itself wins over the exception that is being raised (which
    stays visible as its context); any lesser error from `release` becomes a note on that exception.
    """
    try:
        yield
    except (StuckError, LeaveStanding):
        raise
    except BaseException as error:
        try:
            with deferred():
                release()
        except StuckError as stuck:
            if isinstance(error, ShareLost):
                raise error.stuck(stuck) from stuck
            raise
        except SnapmirrorError as second:
            error.add_note(f"while undoing: {second.message}")
        raise
    else:
        with deferred():  # a signal must not interrupt an undo
            release()


def wait_until(done: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> bool:
    """Poll `done` until it is true or the deadline has passed; return its last value."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
