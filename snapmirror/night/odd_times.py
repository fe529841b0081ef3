"""Times that not every file system can store, or that rsync prints incompletely: they are read from the fetched files.

Only entries with a time before 1970 or after 2037 are checked, so this costs a usual night nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from snapmirror.errors import DamageError
from snapmirror.snapshots import times
from snapmirror.snapshots.entry import escape, parse, with_time
from snapmirror.snapshots.lines import Line, Numbered, is_link, since_prefix, time_of, unnumbered, with_number
from snapmirror.snapshots.names import Tree
from snapmirror.snapshots.plan import Plan

_SHOWN = 5
_SECOND = 1_000_000_000


def as_on_disk(plan: Plan, corrections: dict[Line, Numbered | None], slot: Path) -> str | None:
    """Correct the manifest to the times on the disk. Returns a warning if some differ from the source's.

    A hard link group keeps the text of the listing, which identifies its names as one file; `times.fits` decides which
    time on a disk matches it.
    """
    number, tree, others = since_prefix(plan.sequence), Tree(slot), list[str]()
    count = 0
    for planned, grouped in _odd(plan):
        line = corrections.get(planned, with_number(number, planned))
        if line is None or not line.startswith(number):
            continue  # it has vanished, or keeps its last version
        entry = parse(unnumbered(line))
        with suppress(OSError, DamageError, ValueError):
            seconds = os.lstat(tree.at(entry.path)).st_mtime_ns // _SECOND
            if times.is_usual(entry.time_text) or not entry.is_of(seconds):
                continue  # it has changed since it was listed, or its time was not set at all: verify reports it
            if seconds != entry.mtime and times.is_nearest(entry.time_text, seconds):
                count += 1
                if len(others) < _SHOWN:
                    name = escape(entry.path).decode("utf-8", "backslashreplace")
                    others.append(f"{name} (of {_told(entry.time_text)}, kept as of {times.shown(seconds)})")
            if not grouped:
                corrections[planned] = with_number(number, with_time(entry.line, seconds))
    if not count:
        return None
    more = ", …" if count > len(others) else ""
    names = "1 name has a time" if count == 1 else f"{count} names have times"
    return f"{names} that this disk cannot hold: {', '.join(others)}{more}"


def _odd(plan: Plan) -> Iterator[tuple[Line, bool]]:
    """The new lines of entries with such times, and whether each is in a hard link group."""
    for _, line in plan.transfer:
        if line is not None and not times.is_usual(time_of(line)):
            yield line, is_link(line)
    for group in plan.groups:
        if group[0][1] is not None and not times.is_usual(time_of(group[0][1])):
            yield from ((line, True) for _, line in group if line is not None)


def _told(text: bytes) -> str:
    if not text[:1].isdigit() and not text[-1:].isdigit():
        return "a year that rsync cannot tell"
    return times.shown(times.parse(text))
