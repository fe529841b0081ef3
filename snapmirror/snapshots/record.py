"""The record of a mirror: the list of its snapshots. A small JSON file, `.snapmirror/record.json`.

It decides what is published: it is replaced as a whole, durably, and a snapshot exists once it is in here. Moves that
are still to be made (the rotation) are written into it before the first is made, each with the inode of its folder, so
that the next run knows which of them a crash has left undone.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from snapmirror import files
from snapmirror.errors import StorageError
from snapmirror.tools import filesystems

_TIME = "%Y-%m-%dT%H%M%SZ"
_MOVED = re.compile(r"backup\.\d+|\.snapmirror/(slot|parked|trash\.[^/]+)")


def make_id(when: datetime) -> str:
    """The name of a snapshot that was begun at `when`: UTC, to the second, valid as a file name on Windows."""
    return when.astimezone(UTC).strftime(_TIME)


def parse_id(text: str) -> datetime:
    """The time of a name. Raises ValueError."""
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def _id(text: str) -> str:
    parse_id(text)
    return text


def _moved(name: str) -> str:
    if not _MOVED.fullmatch(name):
        raise ValueError(f"{name!r} is no place of a snapshot")
    return name


Id = Annotated[str, AfterValidator(_id)]
"""The name of a snapshot, or any other time written as one."""
_Moved = Annotated[str, AfterValidator(_moved)]


class Snapshot(BaseModel):
    """One sealed snapshot. Sizes in bytes; `new_bytes` is the size of the files that are new in it. `healed` names of
    it were given a good copy since. `clock` is the clock's time when it was begun, if its name had to be another time.
    `accepted`: a guard would have stopped it, but the changes were accepted. `shared_bytes` of the new files are blocks
    of their earlier versions, where big ones were cloned and patched. `replaced_bytes`: the size of the files that had
    been at rest and are deleted or changed in it, including moved ones. `rules`: keep_last and keep_at_least_days, as
    they were when it was published; `keep`: the other rules (see `retention.rules`).

    If the store knows the space on the disk: `written_bytes` were written for it, `used_bytes` would be freed by its
    removal.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    id: Id
    sequence: int
    slot: int
    files: int
    entries: int
    bytes: int
    new_bytes: int
    shared_bytes: int = 0
    seconds: float = 0.0
    full: bool = False
    degraded: bool = False
    pinned: bool = False
    counts: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    healed: int = 0
    clock: Id | None = None
    accepted: bool = False
    replaced_bytes: int = 0
    rules: tuple[int, int] | None = None
    keep: dict[str, str] = {}
    written_bytes: int | None = Field(default=None, exclude=True)
    used_bytes: int | None = Field(default=None, exclude=True)

    @property
    def taken_at(self) -> datetime:
        """When the run began, UTC."""
        return parse_id(self.id)

    @property
    def clock_at(self) -> datetime:
        """The clock's time then, which may be earlier than that of a snapshot before."""
        return parse_id(self.clock or self.id)


class Move(BaseModel):
    """A folder to be renamed; both names are relative to the mirror's folder."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    inode: int
    source: _Moved
    target: _Moved


class Healing(BaseModel):
    """A damaged file that has a good copy now: the number of its names, by snapshot, and the origin of the copy."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    at: str
    path: str
    kinds: tuple[str, ...]
    source: str
    snapshots: dict[Id, int] = {}


class Purge(BaseModel):
    """Names that were purged from all snapshots: which, when, by whom, and how many in each snapshot."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    at: str
    by: str
    paths: tuple[str, ...]
    snapshots: dict[Id, int] = {}


class Record(BaseModel):
    """The state of one mirror. `snapshots` are newest first. `healed` are the last healings, newest last.

    `parked` is the expired snapshot to be recycled; `slot_equals` is the snapshot of which the slot is an exact copy,
    or None while that is not certain. `fetched_flushed`: all bytes that an interrupted run has left in the slot are on
    the device. `purged` are names that an administrator has purged from all snapshots.
    """

    format: Literal["snapmirror record"] = "snapmirror record"
    version: Literal[1] = 1
    sequence: int = 0
    snapshots: list[Snapshot] = []
    parked: Id | None = None
    slot_equals: Id | None = None
    fetched_flushed: bool = False
    moves: list[Move] = []
    checksum_files_kept: int = 0
    healed: list[Healing] = []
    purged: list[Purge] = []

    @property
    def newest(self) -> Snapshot | None:
        """The newest snapshot, or None."""
        return self.snapshots[0] if self.snapshots else None


def load(path: Path) -> Record:
    """Read a record; an absent one is empty. Raises StorageError for a damaged one."""
    try:
        return Record.model_validate_json(files.read(path))
    except FileNotFoundError:
        return Record()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StorageError(
            f"the record {path} is damaged: {where + ': ' if where else ''}{first['msg']}",
            hint=f"its last good version is {path}.previous; the snapshots themselves are plain folders",
        ) from error
    except OSError as error:
        raise StorageError(f"the record {path} cannot be read: {error.strerror}") from error


def save(record: Record, path: Path) -> None:
    """Replace the record, durably: after the return, a power cut leaves the new one."""
    staged = stage(record, path)
    filesystems.sync(staged)
    put(staged, path)
    filesystems.sync(path.parent)


def stage(record: Record, path: Path, name: str = ".new") -> Path:
    """Write the new record beside the old one. It must be on the device before it is `put`."""
    staged = path.with_suffix(name)
    files.write(staged, record.model_dump_json(indent=1).encode())
    return staged


def put(staged: Path, path: Path) -> None:
    """Replace the record by it. A power cut leaves either, but the new one only after all changes made before: file
    systems with a journal keep the order of changes to names.
    """
    previous = path.with_name(path.name + ".previous")
    with suppress(FileNotFoundError):  # a link, not a rename: the record is never missing
        previous.unlink(missing_ok=True)
        os.link(path, previous)
    staged.replace(path)
