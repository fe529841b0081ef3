"""Wait until something is to be seen from outside: as long as a busy machine may need for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

_PATIENCE_SECONDS = 300
_PAUSE_SECONDS = 0.05


class _Process(Protocol):
    def poll(self) -> int | None: ...
    def communicate(self) -> tuple[object, object]: ...


def until(
    done: Callable[[], object],
    what: str,
    *,
    running: _Process | None = None,
    said: Callable[[], str] = str,
    seconds: float = _PATIENCE_SECONDS,
) -> None:
    """Wait until `done()` is true; the process that it depends on must still be `running`. `said` is its log."""
    deadline = time.monotonic() + seconds
    while not done():
        if running is not None and (code := running.poll()) is not None:
            raise AssertionError(f"ended with {code} before {what}: {running.communicate()}\n{said()}")
        assert time.monotonic() < deadline, f"waited in vain until {what}\n{said()}"
        time.sleep(_PAUSE_SECONDS)
