"""State kept between runs, so that `status` need not open the store: each mirror's last night, and space.

Opening an image takes minutes on a slow machine, and is impossible while a night runs or its server is away; a question
like "how old is the last success?" must not wait for that. A run that fails at the lock writes nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, ValidationError

from snapmirror import files, folder, lockfile
from snapmirror.config import Config
from snapmirror.model import ReadBack
from snapmirror.state.lateness import LOOKED_AT
from snapmirror.state_folder import state_file
from snapmirror.storage.open_store import OpenStore

if TYPE_CHECKING:
    from snapmirror.state.report import MirrorReport

log = logging.getLogger("snapmirror.summary")


class Waiting(BaseModel):
    """A run that waits to try a mirror again whose server was away: until when (seconds since 1970), how often it has
    been tried, how often it is to be tried again at most, and the run's process id."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    until: float
    tried: int
    retries: int
    pid: int

    @property
    def is_alive(self) -> bool:
        """Whether that run is still there: a killed one leaves its note."""
        return lockfile.is_ours(Path(f"/proc/{self.pid}"))

    def what_next(self, now: datetime) -> str:
        """What that run is going to do, and when: in the zone of this machine."""
        until, which = (
            datetime.fromtimestamp(self.until, UTC),
            f"its try {self.tried} of {self.retries} after the first",
        )
        if until <= now:
            return f"the run makes {which} now"
        return f"the run waits until {until.astimezone():%Y-%m-%d %H:%M:%S %Z} for {which}"


class Night(BaseModel):
    """The last night of a mirror, and when its newest snapshot was begun. Times are seconds since 1970.

    `seconds` is its duration; the counts are changed names and transferred bytes of content; `usual_gap` is the usual
    time between its snapshots, in seconds.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    finished: float
    result: str
    exit_code: int
    snapshot: str | None = None
    seconds: float = 0.0
    changed_names: int = 0
    bytes_transferred: int = 0
    warnings: tuple[str, ...] = ()
    error: str | None = None
    hint: str | None = None
    last_success: float | None = None
    usual_gap: float | None = None
    read_back: ReadBack | None = None
    waiting: Waiting | None = None


class Space(BaseModel):
    """Bytes at the end of a run: free on the store, taken by its image, free on the disk that holds the image; and the
    names of all histories on the store."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    at: float
    store_free: int
    image: int | None = None
    disk_free: int | None = None
    histories: tuple[str, ...] = ()


class Copy(BaseModel):
    """The last copy of the image, and when the last good one was made. Times are seconds since 1970."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    finished: float
    last_success: float | None = None
    before: tuple[float, ...] = ()  # some good ones before that, newest first
    warnings: tuple[str, ...] = ()
    error: str | None = None
    hint: str | None = None


class Success(Struct, frozen=True):
    """A mirror's newest snapshot: when it was begun (seconds since 1970), and the usual seconds between snapshots."""

    begun: float
    usual_gap: float | None


class Summary(BaseModel):
    """The whole kept state of a store."""

    version: int = 1
    space: Space | None = None
    nights: dict[str, Night] = {}
    copied: Copy | None = None
    warnings: tuple[str, ...] = ()  # of the last run, that belong to no mirror
    damaged: dict[str, int] = {}  # the number of known damaged files of a mirror
    pool_damage: tuple[str, ...] = ()  # the findings of the last scrub

    def damaged_files(self, mirror: str) -> int | None:
        """The number of known damaged files of a mirror; None: nothing was verified yet."""
        night = self.nights.get(mirror)
        told = night.read_back.damaged if night is not None and night.read_back is not None else None
        return self.damaged.get(mirror, told)


def space_of(store: OpenStore, now: float) -> Space | None:
    """The space of an open store; None if it cannot be read, which must not fail a completed night."""
    try:
        free, image, below = store.free_bytes(), store.allocated_bytes(), store.backing_free_bytes()
        names = tuple(home.name for home in folder.histories(store.path))
    except OSError as error:
        log.warning("the space of %s cannot be read: %s", store.path, error.strerror)
        return None
    return Space(at=now, store_free=free, image=image, disk_free=below, histories=names)


def space_now(config: Config, now: float) -> Space | None:
    """The space of a plain folder as it is now, of every other store as of the end of the last run.

    For an image that is open read-only, XFS reports more: it includes the space that XFS reserves once it is open for
    writing, which is a gigabyte in an image of 150.
    """
    path = config.store.path
    if config.is_plain and os.access(path, os.R_OK | os.X_OK):
        return space_of(OpenStore(path), now)
    return load(config).space


def keep_space(config: Config, store: OpenStore, now: float) -> None:
    """Record the space of a store that is open for writing and was changed between two nights."""
    if (space := space_of(store, now)) is not None:
        try:
            _write(config, load(config).model_copy(update={"space": space}))
        except (OSError, files.ForeignError) as error:
            log.warning("the space that is left cannot be recorded: %s", error)


def load(config: Config) -> Summary:
    """The kept state; an empty one, if it cannot be read."""
    try:
        return Summary.model_validate_json(files.read(_file(config)))
    except FileNotFoundError:
        return Summary()
    except (OSError, files.ForeignError, ValidationError) as error:
        log.warning("%s cannot be read: %s", _file(config), str(error).splitlines()[0])
        return Summary()


def keep(
    config: Config,
    reports: list[MirrorReport],
    finished: float,
    last_success: dict[str, Success],
    space: Space | None = None,
    warnings: Sequence[str] = (),
    waiting: Mapping[str, Waiting] | None = None,
) -> Summary:
    """Record a run; return the new state. `waiting`: its mirrors that it is going to retry.

    What the run did not learn stays unchanged: the last success, reading back, the space, the other mirrors.
    """
    before = load(config)
    nights, damaged = dict(before.nights), dict(before.damaged)
    reading = {mirror.name for mirror in config.mirrors if mirror.verify.read_all_within_days}
    for report in reports:
        previous = nights.get(report.mirror)
        success = last_success.get(report.mirror)
        if success is None and previous is not None and previous.last_success is not None:
            success = Success(previous.last_success, previous.usual_gap)
        read_back = report.read_back or (previous.read_back if previous else None)
        if report.read_back is not None and (previous is None or previous.read_back != report.read_back):
            # (a report is recorded more than once, and a verification may have run in between)
            damaged[report.mirror] = report.read_back.damaged
        nights[report.mirror] = Night(
            finished=finished, result=report.result, exit_code=report.exit_code, snapshot=report.snapshot,
            seconds=report.seconds, changed_names=report.changed_names, bytes_transferred=report.bytes_transferred,
            warnings=tuple(report.warnings), error=report.error, hint=report.hint,
            last_success=success.begun if success else None, usual_gap=success.usual_gap if success else None,
            read_back=read_back if report.mirror in reading else None,
            waiting=(waiting or {}).get(report.mirror),
        )  # fmt: skip
    names = {mirror.name for mirror in config.mirrors}
    known = {name: night for name, night in nights.items() if name in names}
    kept = Summary(
        space=space or before.space, nights=known, copied=before.copied, warnings=tuple(warnings),
        damaged={name: number for name, number in damaged.items() if name in names}, pool_damage=before.pool_damage,
    )  # fmt: skip
    _write(config, kept)
    return kept


def keep_copy(config: Config, copy: Copy) -> None:
    """Record a copy of the image; a failed one keeps the time of the last good one."""
    before = load(config)
    if (known := before.copied) is not None:
        if copy.last_success is None:
            copy = copy.model_copy(update={"last_success": known.last_success, "before": known.before})
        elif known.last_success is not None:
            copy = copy.model_copy(update={"before": (known.last_success, *known.before)[:LOOKED_AT]})
    _write(config, before.model_copy(update={"copied": copy}))


def keep_damaged(config: Config, mirror: str, damaged: int) -> Summary:
    """Record, between two nights, the number of known damaged files of a mirror.

    Raises OSError and ForeignError.
    """
    known = load(config)
    known = known.model_copy(update={"damaged": {**known.damaged, mirror: damaged}})
    _write(config, known)
    return known


def forget(config: Config, mirror: str) -> Summary:
    """Forget a mirror. Raises OSError."""
    known = load(config)
    nights = {name: night for name, night in known.nights.items() if name != mirror}
    damaged = {name: number for name, number in known.damaged.items() if name != mirror}
    space = known.space
    if space is not None:
        names = tuple(name for name in space.histories if name != mirror)
        space = space.model_copy(update={"histories": names})
    kept = known.model_copy(update={"nights": nights, "damaged": damaged, "space": space})
    if kept != known:
        _write(config, kept)
    return kept


def keep_pool_damage(config: Config, damage: Sequence[str]) -> None:
    """Record the findings of a scrub. Raises OSError and ForeignError."""
    known = load(config)
    if known.pool_damage != tuple(damage):
        _write(config, known.model_copy(update={"pool_damage": tuple(damage)}))


def damage_file(config: Config) -> Path:
    """The file of findings that the store has not recorded yet: see `damage`."""
    return state_file(config, ".damage.json")


def _write(config: Config, known: Summary) -> None:
    path = _file(config)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace(path, known.model_dump_json(indent=1))


def replace(path: Path, text: str) -> None:
    """Replace a file: readers see the old or the new one, never half of it. Raises OSError and ForeignError."""
    files.replace(path, text.encode("utf-8", "backslashreplace"), 0o644)


def _file(config: Config) -> Path:
    return state_file(config, ".status.json")
