"""The one door to threads: there is room for each before it is started.

`Thread.start` of Python 3.11 waits until the new thread says that it runs. One that finds no memory to say so ends, and
is waited for all the same, for ever. So what threads take must be there before one is started.
"""

from __future__ import annotations

import mmap
import resource
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_USUAL_BYTES = 8 << 20  # of a stack, where it is not limited
_MORE_BYTES = 1 << 20  # what Python and the C library make for a new thread


def started(
    target: Callable[..., None], *args: object, name: str | None = None, stack: int | None = None
) -> threading.Thread:
    """A thread that runs; the program's end does not wait for it. `stack` is in bytes, by default the usual.

    Raises OSError (ENOMEM).
    """
    ensure_room(stack=stack)
    thread = threading.Thread(target=target, args=args, name=name, daemon=True)
    usual = threading.stack_size(stack or 0)
    try:
        thread.start()
    finally:
        threading.stack_size(usual)
    return thread


def one_worker(name: str) -> ThreadPoolExecutor:
    """A pool of one thread, which the first task starts. Raises OSError (ENOMEM)."""
    from concurrent.futures import ThreadPoolExecutor  # here, as signals are taken over before much is imported

    ensure_room()
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)


def ensure_room(count: int = 1, *, stack: int | None = None) -> None:
    """Raise OSError (ENOMEM) where there is no room for `count` threads; `stack` is in bytes, by default the usual."""
    if stack is None:
        limit, _ = resource.getrlimit(resource.RLIMIT_STACK)
        stack = _USUAL_BYTES if limit == resource.RLIM_INFINITY else limit
    with ExitStack() as room:  # one by one, as they come: the kernel refuses a large piece sooner than small ones
        for _ in range(count):
            room.enter_context(mmap.mmap(-1, stack + _MORE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
