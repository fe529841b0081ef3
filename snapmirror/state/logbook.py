"""The nights of a store, one line of JSON for each night of a mirror, in a growing file of the state folder.

A line is appended and flushed when a run is over. A crash leaves one incomplete line at most: it is skipped, and the
next night begins a new line. From time to time the file is rewritten with the last `KEPT` nights of each mirror.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from snapmirror import files
from snapmirror.config import Config
from snapmirror.state.summary import Space
from snapmirror.state_folder import state_file

if TYPE_CHECKING:
    from snapmirror.state.report import RunReport

KEPT = 400
"""So many nights of each mirror are kept; of all mirrors that are no longer configured, so many together."""
_SLACK = 100  # with so many more lines for each mirror the file is rewritten
_MOST_WARNINGS, _LONGEST = 20, 400
_MOST_BYTES = 1 << 28


class Entry(BaseModel):
    """A night of a mirror. Counts are names, sizes bytes; `finished` is in seconds since 1970, `seconds` its duration.

    `run_warnings` belong to the run as a whole; the free space on the store, and on the disk below its image, is as of
    the run's end.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    finished: float
    mirror: str
    result: str
    exit_code: int
    snapshot: str | None = None
    added: int = 0
    updated: int = 0
    attributes: int = 0
    linked: int = 0
    deleted: int = 0
    bytes_transferred: int = 0
    seconds: float = 0.0
    attempts: int = 1
    expired: int = 0
    full: bool = False
    warnings: tuple[str, ...] = ()
    run_warnings: tuple[str, ...] = ()
    error: str | None = None
    hint: str | None = None
    store_free: int | None = None
    disk_free: int | None = None


def entries(config: Config) -> list[Entry]:
    """All nights that are kept, the oldest first. Raises OSError and ForeignError."""
    try:
        content = files.read(_file(config), _MOST_BYTES)
    except FileNotFoundError:
        return []
    return [one for line in content.splitlines() if (one := _read(line)) is not None]


def append(config: Config, report: RunReport, finished: float, space: Space | None) -> None:
    """Record a run. Raises OSError and ForeignError."""
    lines = b"".join(_line(one) for one in _nights(report, finished, space))
    path = _file(config)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with _locked(path) as descriptor:
            end = os.fstat(descriptor).st_size
            cut = end and os.pread(descriptor, 1, end - 1) != b"\n"
            files.write_all(descriptor, memoryview(b"\n" * bool(cut) + lines))
            os.fsync(descriptor)
            _shorten(config, path)
    except PermissionError:  # root's, from a refused run; if the folder is ours, replace it by one of ours
        files.replace(path, files.read(path, _MOST_BYTES) + lines, 0o644)


def _nights(report: RunReport, finished: float, space: Space | None) -> Iterator[Entry]:
    shared: dict[str, Any] = {
        "finished": finished, "run_warnings": _cut(report.warnings),
        "store_free": space.store_free if space else None, "disk_free": space.disk_free if space else None,
    }  # fmt: skip
    for night in report.mirrors:
        yield Entry(
            **shared, mirror=night.mirror, result=night.result, exit_code=night.exit_code, snapshot=night.snapshot,
            added=night.added, updated=night.updated, attributes=night.attributes, linked=night.linked,
            deleted=night.deleted, bytes_transferred=night.bytes_transferred, seconds=night.seconds,
            attempts=night.attempts, expired=len(night.expired), full=night.full, warnings=_cut(night.warnings),
            error=_short(night.error), hint=_short(night.hint),
        )  # fmt: skip


def _cut(warnings: Sequence[str]) -> tuple[str, ...]:
    more = len(warnings) - _MOST_WARNINGS
    shown = [one[:_LONGEST] for one in warnings[:_MOST_WARNINGS]]
    return (*shown, *([f"and {more} more"] if more > 0 else []))


def _short(text: str | None) -> str | None:
    return text[:_LONGEST] if text is not None else None


def _line(entry: Entry) -> bytes:
    text = entry.model_dump_json(exclude_defaults=True)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _read(line: bytes) -> Entry | None:
    try:
        return Entry.model_validate_json(line)
    except ValidationError:
        return None  # it is incomplete, or a disk has lost it


def _shorten(config: Config, path: Path) -> None:
    """Keep the last ones of each mirror, once there are many more."""
    there = files.read(path, _MOST_BYTES).splitlines()
    names = {mirror.name for mirror in config.mirrors}
    if len(there) <= (len(names) + 1) * (KEPT + _SLACK):
        return
    seen: Counter[str] = Counter()
    kept: list[bytes] = []
    for line in reversed(there):
        if (entry := _read(line)) is not None:
            group = entry.mirror if entry.mirror in names else ""
            seen[group] += 1
            if seen[group] <= KEPT:
                kept.append(line + b"\n")
    files.replace(path, b"".join(reversed(kept)), 0o644)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, to be appended to while nobody else writes or replaces it."""
    while True:
        descriptor = files.own(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _file(config: Config) -> Path:
    return state_file(config, ".nights")
