"""What a server may make this side read and hold, before it is told to stop.

The other side may be an attacker: it can send entries, messages and complaints for ever, or a line that never ends.
Files need no limit of their own: what they take is seen on the store (`guard.check_room`). Runs no program.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from snapmirror import process
from snapmirror.errors import GuardError, TransferError

LONGEST_LINE = 1 << 18
"""Name and target of a symlink have 4095 bytes each at most, and a byte takes five letters (`\\#012`)."""
_COMPLAINTS = 1 << 30  # bytes: a million unreadable files with long names say a quarter of that
_ENTRY = 512  # bytes that rsync holds for an entry with a long name; usually 100
_LEAST_MEMORY = 128 << 20
_SPARE = 20  # the part of this machine's memory, swap included, that must be left


def machine_memory() -> int:
    """The memory of this machine, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def memory(entries: int) -> int:
    """The most memory, in bytes, that each rsync gets for a list of so many entries: at most half of the machine's."""
    return min(machine_memory() // 2, _LEAST_MEMORY + entries * _ENTRY)


def arriving(scratch: Path) -> list[int]:
    """The sizes, in bytes, of the files that rsync is receiving; none when one of them is done in this very moment."""
    with os.scandir(scratch) as found, suppress(FileNotFoundError):
        return [one.stat(follow_symlinks=False).st_size for one in found]
    return []


class Flood:
    """What has come from one rsync so far. Each method raises when it is too much."""

    def __init__(self, child: process.Running, *, what: str) -> None:
        self._child, self.what = child, what
        self.lines = 0
        self._open = 0  # bytes of the line that has no end yet

    def read(self, chunk: bytes) -> None:
        """It has printed this."""
        self.lines += chunk.count(b"\n")
        end = chunk.rfind(b"\n") + 1
        self._open = len(chunk) - end if end else self._open + len(chunk)
        if self._open > LONGEST_LINE:
            raise TransferError(f"{self.what}: it sends a line without an end", hint=_HOSTILE)
        self.check()

    def check(self) -> None:
        """Whether it has printed too much."""

    def look(self) -> None:
        """About every second: what it has complained of."""
        if self._child.trim_stderr() > _COMPLAINTS:
            raise TransferError(f"{self.what}: it complains without an end", hint=_HOSTILE)


class EntryFlood(Flood):
    """The same for a listing, of at most so many entries; messages count as well."""

    def __init__(self, child: process.Running, *, what: str, most: int) -> None:
        super().__init__(child, what=what)
        self._most = most

    def check(self) -> None:
        """Whether there are too many entries."""
        if self.lines > self._most:
            raise GuardError(
                f"{self.what}: more entries than max_entries = {self._most} allows",
                hint="look what fills the source; if it is meant to be so large, raise max_entries in [mirror.guard]",
            )

    def look(self) -> None:
        """About every second: the complaints, and what memory is left."""
        super().look()
        total, left = _machine_memory()
        if left < total // _SPARE:
            raise TransferError(
                f"{self.what}: this machine has too little memory for it, at {self.lines} entries",
                hint="give it more memory, split the mirror, or look what fills the source",
            )


class MessageFlood(Flood):
    """The same for a transfer of so many names: a few lines each, and some more."""

    def __init__(self, child: process.Running, *, what: str, names: int) -> None:
        super().__init__(child, what=what)
        self._most = _MESSAGES + 16 * names

    def check(self) -> None:
        """Whether there are too many lines."""
        if self.lines > self._most:
            raise TransferError(f"{self.what}: it sends messages without an end", hint=_HOSTILE)


_MESSAGES = 100_000
_HOSTILE = "nothing was published; the server is broken, or hostile"


def _machine_memory() -> tuple[int, int]:
    """Bytes that this machine has, and that are left."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kib = {words[0]: int(words[1]) for words in lines}
    left = kib.get("MemAvailable:", kib["MemFree:"]) + kib.get("SwapFree:", 0)
    return kib["MemTotal:"] * 1024, left * 1024
