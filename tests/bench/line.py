"""A slow line: a relay on loopback that delays, limits, counts, and can be cut.

No programs. It stands between a client and a server of this machine where the kernel has no netem (network namespaces
need no privilege beyond root, but Debian's cloud kernels and ours lack that module). Each direction is a queue of its
own, shared by all connections as a line is: a piece leaves when those before it have left, and arrives `delay` later.
A sender may have `_WINDOW` bytes under way, as with TCP's default buffers; then it waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_PIECE = 16 << 10  # bytes
_WINDOW = 1 << 20  # bytes


@dataclass
class Direction:
    """One direction of the line. `rate` in bytes per second; `sent` is what has gone into it."""

    rate: float
    free_at: float = 0.0
    sent: int = 0

    def leaves(self, size: int, now: float) -> float:
        """When the last of so many bytes has left, if they are handed over now."""
        self.sent += size
        self.free_at = max(now, self.free_at) + size / self.rate
        return self.free_at


@dataclass
class Line:
    """What the benchmark sees of it: the `port` to connect to, and counters since the last `reset`."""

    port: int
    up: Direction
    down: Direction
    connections: int = 0
    is_cut: threading.Event = field(default_factory=threading.Event)

    def reset(self) -> None:
        """Count anew."""
        self.up.sent = self.down.sent = self.connections = 0


@contextmanager
def slow_line(to_port: int, *, rate: float, round_trip: float) -> Iterator[Line]:
    """Relay to a port of this machine: `rate` in bytes per second each way, `round_trip` in seconds."""
    started: dict[str, object] = {}
    ready = threading.Event()

    async def serve() -> None:
        line = Line(0, Direction(rate), Direction(rate))
        ends = asyncio.Event()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line.connections += 1
            there, back = await asyncio.open_connection("127.0.0.1", to_port)
            await asyncio.gather(
                _carry(reader, back, line.up, round_trip / 2, line),
                _carry(there, writer, line.down, round_trip / 2, line),
            )

        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        line.port = server.sockets[0].getsockname()[1]
        started.update(line=line, loop=asyncio.get_running_loop(), ends=ends)
        ready.set()
        async with server:
            await ends.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="slow line")
    thread.start()
    ready.wait()
    line, loop, ends = started["line"], started["loop"], started["ends"]
    assert isinstance(line, Line) and isinstance(loop, asyncio.AbstractEventLoop) and isinstance(ends, asyncio.Event)
    try:
        yield line
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join()


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction, delay: float, line: Line
) -> None:
    """Carry one connection's bytes in one direction, to their end."""
    loop, under_way = asyncio.get_running_loop(), 0
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    room = asyncio.Event()

    async def arrive() -> None:
        nonlocal under_way
        while True:
            at, piece = await queue.get()
            await asyncio.sleep(max(0.0, at - loop.time()))
            while line.is_cut.is_set():
                await asyncio.sleep(0.05)
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
            under_way -= len(piece)
            room.set()
        with suppress(OSError):
            writer.write_eof()

    async def leave() -> None:
        nonlocal under_way
        while piece := await reader.read(_PIECE):
            at = direction.leaves(len(piece), loop.time()) + delay
            under_way += len(piece)
            queue.put_nowait((at, piece))
            while under_way > _WINDOW:
                room.clear()
                await room.wait()
        queue.put_nowait((loop.time() + delay, b""))

    with suppress(OSError):  # one side has gone: the other one sees the end
        await asyncio.gather(leave(), arrive())
    writer.close()
