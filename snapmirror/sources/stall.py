"""What rsync prints, and the end of waiting for a server that has fallen silent: `timeout_seconds`.

rsync's own --timeout never ends such a wait: each of its processes takes the keep-alives that it sends itself for
movement (3.5.0, seen with a server that was stopped in mid-transfer). So what counts here is what this side's rsyncs
read: what arrives from the server, a keep-alive of a server that works in silence among it, and the old versions that
are compared. While one of them waits for a disk of this side, the server is not to blame: a lost share has a watch of
its own. Runs no program.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from snapmirror import process
from snapmirror.config import MirrorConfig
from snapmirror.errors import UnreachableError
from snapmirror.sources.floods import Flood

_TICK_SECONDS = 1.0
_LOOKS = 60  # at the processes, in the time that is allowed
_OWN_KEEPALIVES = 8  # bytes that rsync's receiver may send its leader after the server's last ones (measured: 4)


def patience(mirror: MirrorConfig) -> int:
    """For how many seconds nothing need arrive; 0: for ever. A local source that hangs could not be ended anyway."""
    return 0 if mirror.source.kind == "local" else mirror.timeout_seconds


def printed(
    child: process.Running, most: int, *, seconds: int, flood: Flood, tick: Callable[[], None] | None = None
) -> Iterator[bytes]:
    """What a running rsync prints, in pieces of up to `most` bytes. `tick` is called about every second.

    Raises TransferError when nothing has moved for `seconds` (0: never), and what `flood` raises. Time in which the
    caller does not ask is free.
    """
    assert child.stdout is not None
    descriptor, last = child.stdout.fileno(), time.monotonic()
    movement, silent, looked = _Movement(child.pid), 0.0, 0.0
    while True:
        began = time.monotonic()
        ready, _, _ = select.select([descriptor], [], [], _TICK_SECONDS)
        now = time.monotonic()
        if not ready or now - last > _TICK_SECONDS:
            flood.look()
            if tick is not None:
                tick()
            last = now
        if ready:
            chunk = os.read(descriptor, most)
            if not chunk:
                return
            flood.read(chunk)
            yield chunk
            silent = looked = 0.0
        elif seconds:
            silent += min(now - began, 2 * _TICK_SECONDS)  # a machine that was paused has not waited
            if silent - looked >= seconds / _LOOKS:
                looked = silent
                if movement.seen():
                    silent = looked = 0.0
                elif silent >= seconds:
                    raise UnreachableError(
                        f"{flood.what}: nothing has arrived for {seconds} seconds",
                        hint="are the server and the network up? if it only takes long, raise timeout_seconds",
                    )


class _Movement:
    """What the processes of an rsync have read so far."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._leader = self._others = -_OWN_KEEPALIVES - 1

    def seen(self) -> bool:
        """Whether they have read more than at the last look, or wait for a disk."""
        import psutil  # here, because most transfers never fall silent and its import takes 20 ms

        leader, others = 0, 0
        with suppress(psutil.NoSuchProcess):  # it is ending in this very moment
            first = psutil.Process(self._pid)
            for one in (first, *first.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    if one.name() == "ssh":  # it also reads what goes out, and its own keep-alives
                        continue
                    try:
                        count = one.io_counters().read_chars
                    except (psutil.AccessDenied, AttributeError):  # another user's, or a kernel that does not count
                        return True
                    if one.status() == psutil.STATUS_DISK_SLEEP:
                        return True
                    leader, others = (count, others) if one.pid == self._pid else (leader, others + count)
        moved = others != self._others or leader > self._leader + _OWN_KEEPALIVES
        if moved:
            self._leader, self._others = leader, others
        return moved
