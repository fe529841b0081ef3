"""The limits on an rsync: how long it may be silent, and how much this side reads and holds for it.

Silence: `timeout_seconds`. rsync's own --timeout never ends such a wait: each of its processes counts the keep-alives
that it sends itself as activity (3.5.0, seen with a server that was stopped in mid-transfer). So this module counts
what the local rsyncs read: data from the server, including keep-alives of a server that works in silence, and the old
versions that are compared. While one of them waits for a local disk, the server is not to blame: `storage.watchdog`
watches for a lost share.

Floods: the other side may be an attacker. It can send entries, messages and complaints without end, or an endless line.
Files need no limit here: the space that they take is checked on the store (`guard.check_room`). Runs no program.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from snapmirror import process
from snapmirror.errors import GuardError, TransferError, UnreachableError

LONGEST_LINE = 1 << 18
"""Name and target of a symlink have at most 4095 bytes each, and a byte takes up to five letters (`\\#012`)."""
_COMPLAINTS = 1 << 30  # bytes: a million unreadable files with long names cause a quarter of that
_ENTRY = 512  # bytes of rsync's memory for an entry with a long name; usually 100
_LEAST_MEMORY = 128 << 20
_SPARE = 20  # the fraction (1/20) of this machine's memory, swap included, that must stay free
_TICK_SECONDS = 1.0
_LOOKS = 60  # number of looks at the processes within the allowed time
_OWN_KEEPALIVES = 8  # bytes that rsync's receiver may send its leader after the server's last ones (measured: 4)


def machine_memory() -> int:
    """The memory of this machine, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def memory(entries: int) -> int:
    """The memory limit, in bytes, of each rsync for a list of so many entries: at most half of the machine's."""
    return min(machine_memory() // 2, _LEAST_MEMORY + entries * _ENTRY)


def arriving(scratch: Path) -> list[int]:
    """The sizes, in bytes, of the files that rsync is receiving; empty if one of them is completed during the look."""
    with os.scandir(scratch) as found, suppress(FileNotFoundError):
        return [one.stat(follow_symlinks=False).st_size for one in found]
    return []


class Flood:
    """The output of one rsync so far. Each method raises when it is too much."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.lines = 0
        self._open = 0  # bytes of the line that is still incomplete

    def read(self, chunk: bytes) -> None:
        """rsync has printed this."""
        self.lines += chunk.count(b"\n")
        end = chunk.rfind(b"\n") + 1
        self._open = len(chunk) - end if end else self._open + len(chunk)
        if self._open > LONGEST_LINE:
            raise TransferError(f"{self.what}: it sends a line without an end", hint=_HOSTILE)
        self.check()

    def check(self) -> None:
        """Raises if it has printed too much."""

    def look(self, complaints: int) -> None:
        """Called about every second; `complaints` in bytes so far."""
        if complaints > _COMPLAINTS:
            raise TransferError(f"{self.what}: it complains without an end", hint=_HOSTILE)


class EntryFlood(Flood):
    """The limits on a listing of at most `most` entries; messages count as well."""

    def __init__(self, what: str, *, most: int) -> None:
        super().__init__(what)
        self._most = most

    def check(self) -> None:
        """Raises if there are too many entries."""
        if self.lines > self._most:
            raise GuardError(
                f"{self.what}: more entries than max_entries = {self._most} allows",
                hint="look what fills the source; if it is meant to be so large, raise max_entries in [mirror.guard]",
            )

    def look(self, complaints: int) -> None:
        """Called about every second: checks the complaints and the free memory."""
        super().look(complaints)
        _check_memory(self)


class MessageFlood(Flood):
    """The limits on a transfer of so many names: a few lines each, and some more."""

    def __init__(self, what: str, *, names: int) -> None:
        super().__init__(what)
        self._most = _MESSAGES + 16 * names

    def check(self) -> None:
        """Raises if there are too many lines."""
        if self.lines > self._most:
            raise TransferError(f"{self.what}: it sends messages without an end", hint=_HOSTILE)


class TreeFlood(MessageFlood):
    """The same for the transfer of a tree, of whose names no list was sent: there may be others."""

    def look(self, complaints: int) -> None:
        """Called about every second: checks the complaints and the free memory."""
        super().look(complaints)
        _check_memory(self)


def _check_memory(flood: Flood) -> None:
    total, left = _total_and_free_memory()
    if left < total // _SPARE:
        raise TransferError(
            f"{flood.what}: this machine has too little memory for it, at {flood.lines} entries",
            hint="give it more memory, split the mirror, or look what fills the source",
        )


_MESSAGES = 100_000
_HOSTILE = "nothing was published; the server is broken, or hostile"


def _total_and_free_memory() -> tuple[int, int]:
    """Total and free memory of this machine, in bytes."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kib = {words[0]: int(words[1]) for words in lines}
    left = kib.get("MemAvailable:", kib["MemFree:"]) + kib.get("SwapFree:", 0)
    return kib["MemTotal:"] * 1024, left * 1024


def printed(
    child: process.Running, most: int, *, seconds: int, flood: Flood, tick: Callable[[], None] | None = None
) -> Iterator[bytes]:
    """The output of a running rsync, in pieces of up to `most` bytes. `tick` is called about every second.

    Raises TransferError after `seconds` without activity (0: never), and what `flood` raises. Time that the caller
    spends between two pieces does not count.
    """
    assert child.stdout is not None
    descriptor, last = child.stdout.fileno(), time.monotonic()
    movement, silent, looked = _Movement(child.pid), 0.0, 0.0
    while True:
        began = time.monotonic()
        ready, _, _ = select.select([descriptor], [], [], _TICK_SECONDS)
        now = time.monotonic()
        if not ready or now - last > _TICK_SECONDS:
            flood.look(child.trim_stderr())
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
            silent += min(now - began, 2 * _TICK_SECONDS)  # time in which the machine was paused does not count
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
    """The bytes that the processes of an rsync have read so far."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._leader = self._others = -_OWN_KEEPALIVES - 1

    def seen(self) -> bool:
        """Whether they have read more than at the last look, or wait for a disk."""
        import psutil  # here, because most transfers are never silent and the import takes 20 ms

        leader, others = 0, 0
        with suppress(psutil.NoSuchProcess):  # the process is just ending
            first = psutil.Process(self._pid)
            for one in (first, *first.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    if one.name() == "ssh":  # ssh also reads what is sent, and its own keep-alives
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
