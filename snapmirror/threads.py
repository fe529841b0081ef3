"""The one door to threads: it checks that there is memory for each before it is started.

`Thread.start` of Python 3.11 waits until the new thread reports that it runs. A thread that has no memory to report
ends, and `start` waits for ever. So the memory must be available before a thread is started.
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

_USUAL_BYTES = 8 << 20  # of a stack, when it is not limited
_MORE_BYTES = 1 << 20  # Python and the C library allocate it for a new thread


def started(
    target: Callable[..., None], *args: object, name: str | None = None, stack: int | None = None
) -> threading.Thread:
    """A thread that runs; the program ends without waiting for it. `stack` is in bytes; the default is the usual size.

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
    from concurrent.futures import ThreadPoolExecutor  # here: signals are handled before much is imported

    ensure_room()
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)


def ensure_room(count: int = 1, *, stack: int | None = None) -> None:
    """Raise OSError (ENOMEM) when there is no memory for `count` threads; `stack`: bytes, by default the usual."""
    if stack is None:
        limit, _ = resource.getrlimit(resource.RLIMIT_STACK)
        stack = _USUAL_BYTES if limit == resource.RLIM_INFINITY else limit
    with ExitStack() as room:  # one by one, as for threads: the kernel refuses a large piece sooner than small ones
        for _ in range(count):
            room.enter_context(mmap.mmap(-1, stack + _MORE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
