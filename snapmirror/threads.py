"""Room for threads, before they are started.

`Thread.start` of Python 3.11 waits until the new thread says that it runs. One that finds no memory to say so ends, and
is waited for all the same, for ever. So what threads take must be there before one is started.
"""

from __future__ import annotations

import mmap
import resource
from contextlib import ExitStack

_USUAL_BYTES = 8 << 20  # of a stack, where it is not limited
_MORE_BYTES = 1 << 20  # what Python and the C library make for a new thread


def ensure_room(count: int = 1, *, stack: int | None = None) -> None:
    """Raise OSError (ENOMEM) where there is no room for `count` threads; `stack` is in bytes, by default the usual."""
    if stack is None:
        limit, _ = resource.getrlimit(resource.RLIMIT_STACK)
        stack = _USUAL_BYTES if limit == resource.RLIM_INFINITY else limit
    with ExitStack() as room:  # one by one, as they come: the kernel refuses a large piece sooner than small ones
        for _ in range(count):
            room.enter_context(mmap.mmap(-1, stack + _MORE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
