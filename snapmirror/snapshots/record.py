"""The record of a mirror: which snapshots there are. A small JSON file, `.snapmirror/record.json`.

It is the truth about what is published: it is replaced as a whole, durably, and a snapshot exists once it stands here.
Moves that are still to be made (the rotation) are written down in it before the first is made, each with the inode of
the folder that it moves, so that the next run can tell which of them a crash has left undone.
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
    """The name of a snapshot that was begun at `when`: UTC, to the second, fit for file names on Windows."""
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
    it have been given a good copy since. `clock` is what the clock said when it was begun, where its name had to be
    another time. `accepted`: a guard would have stopped it, but was told that the changes are meant.
    `shared_bytes` of the new files are blocks of their earlier versions, where big ones were cloned and patched.
    `replaced_bytes`: the size of the files that had been at rest and are gone or changed in it, moved ones included.
    `rules`: keep_last and keep_at_least_days, as they were when it was published.

    Where the store knows what that takes on the disk: `written_bytes` is what was written for it, `used_bytes` what its
    end would free.
    """

    model_config = ConfigDict(frozen=True)

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
    written_bytes: int | None = Field(default=None, exclude=True)
    used_bytes: int | None = Field(default=None, exclude=True)

    @property
    def taken_at(self) -> datetime:
        """When the run began, UTC."""
        return parse_id(self.id)

    @property
    def clock_at(self) -> datetime:
        """What the clock said then, which may be less than it said before."""
        return parse_id(self.clock or self.id)


class Move(BaseModel):
    """A folder to be renamed; both names are relative to the mirror's folder."""

    model_config = ConfigDict(frozen=True)

    inode: int
    source: _Moved
    target: _Moved


class Healing(BaseModel):
    """A file that was damaged and has a good copy now: how many of its names, by snapshot, and where that came from."""

    model_config = ConfigDict(frozen=True)

    at: str
    path: str
    kinds: tuple[str, ...]
    source: str
    snapshots: dict[Id, int] = {}


class Purge(BaseModel):
    """Names that were taken out of all snapshots: which, when, by whom, and how many names in each snapshot."""

    model_config = ConfigDict(frozen=True)

    at: str
    by: str
    paths: tuple[str, ...]
    snapshots: dict[Id, int] = {}


class Record(BaseModel):
    """All that is known of one mirror. `snapshots` stand newest first. `healed` are the last healings, newest last.

    `parked` is the expired snapshot that waits to be recycled; `slot_equals` is the snapshot of which the slot is an
    exact copy, or None while nothing is sure of it. `fetched_flushed`: what an interrupted run has left in the slot is
    on the device, every byte of it. `purged` are names that an administrator has taken out of all snapshots.
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
    """Replace the record, durably: when this returns, a power cut leaves the new one."""
    staged = stage(record, path)
    filesystems.sync(staged)
    put(staged, path)
    filesystems.sync(path.parent)


def stage(record: Record, path: Path, name: str = ".new") -> Path:
    """Write what is to become the record, beside it. It must be on the device before it is `put`."""
    staged = path.with_suffix(name)
    files.write(staged, record.model_dump_json(indent=1).encode())
    return staged


def put(staged: Path, path: Path) -> None:
    """Let it take the record's place. A power cut leaves either, but the new one only after all that was done before:
    file systems with a journal keep names in the order in which they were changed.
    """
    previous = path.with_name(path.name + ".previous")
    with suppress(FileNotFoundError):  # a link, not a rename: at no moment is there no record
        previous.unlink(missing_ok=True)
        os.link(path, previous)
    staged.replace(path)
