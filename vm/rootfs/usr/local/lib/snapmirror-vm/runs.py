"""Limits the runs that the everyday key may start: each makes a snapshot, and lets the oldest expire.

A run is recorded before it starts, and deleted again if its exit code shows that nothing was published. Each mirror has
its own count, over the last 24 hours. Otherwise the key on the Windows host could use up `keep_last` in an hour.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from allowed import RefusedError

FILE = Path("/var/lib/snapmirror-vm/gate-runs")
DAY = 86400.0
EVERY = "*"  # a run of all mirrors, whose names could not be read
GUARD = 13
# Exit codes for that: of the whole run, and of a run of one mirror. (Of several, the worst counts.)
NOTHING_STARTED = ("2", "10")
NOTHING_PUBLISHED = (*NOTHING_STARTED, "12", "13")


def begin(mirrors: Sequence[str], most: int, *, now: float | None = None) -> str:
    """Record a run of these mirrors, and return its id. Raises RefusedError if one of them has used up its runs."""
    moment = time.time() if now is None else now
    with _entries() as entries:
        # (one in the future is from before the clock was set back: it counts until a day after its time)
        entries[:] = [one for one in entries if one["at"] > moment - DAY]
        for mirror in mirrors:
            used = [one for one in entries if mirror == EVERY or {mirror, EVERY} & set(one["mirrors"])]
            if len(used) >= most:
                again = time.strftime("%Y-%m-%d %H:%M", time.localtime(sorted(one["at"] for one in used)[-most] + DAY))
                raise RefusedError(
                    f"this key has started {len(used)} runs of {'a mirror' if mirror == EVERY else mirror} within a "
                    f"day; the next may begin after {again}",
                    "appliance.toml says how many (key_runs_a_day); the administrator's key may at any time",
                    GUARD,
                )
        name = os.urandom(8).hex()
        entries.append({"at": moment, "id": name, "mirrors": list(mirrors)})
        return name


def ended(name: str, exit_status: str) -> None:
    """Delete a run that published nothing."""
    with _entries() as entries:
        entries[:] = [one for one in entries if one["id"] != name or _counts(one["mirrors"], exit_status)]


def _counts(mirrors: Sequence[str], exit_status: str) -> bool:
    is_one = len(mirrors) == 1 and mirrors[0] != EVERY
    return exit_status not in (NOTHING_PUBLISHED if is_one else NOTHING_STARTED)


@contextmanager
def _entries() -> Iterator[list[dict[str, Any]]]:
    """The recorded runs, for one process at a time; written back at the end, if there was no error."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+", encoding="ascii", errors="replace") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        entries = [one for line in file if (one := _entry(line)) is not None]
        yield entries
        file.seek(0)
        file.truncate()
        file.writelines(f"{json.dumps(one)}\n" for one in entries)


def _entry(line: str) -> dict[str, Any] | None:
    """None for an incomplete line, left by a power loss."""
    try:
        entry = json.loads(line)
        return {"at": float(entry["at"]), "id": str(entry["id"]), "mirrors": [str(one) for one in entry["mirrors"]]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
