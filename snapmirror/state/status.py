"""The status of a store, for people and for monitoring: last success, last night, space, and findings.

Answers at once, also while a night runs or the share's server is away: it reads the state that runs keep (see
`summary`) and opens nothing. Only a store that is a plain folder is read itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from msgspec import Struct, field

from snapmirror import folder
from snapmirror.config import Config, MirrorConfig
from snapmirror.errors import ExitCode, ignored
from snapmirror.model import ReadBack, size
from snapmirror.snapshots import record
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.state import newest, summary
from snapmirror.state.lateness import NIGHTLY, late_after, usual_gap
from snapmirror.state.trend import days_until_full
from snapmirror.storage.run_lock import owner_of
from snapmirror.text import duration

_AHEAD = timedelta(hours=1)  # (a clock may be corrected by some seconds)
_BEHIND = timedelta(days=3)
"""If reading back is so far behind after a night, it does not keep up."""


class MirrorStatus(Struct, frozen=True):
    """A mirror: when its newest snapshot was begun, and how its last night went. None: unknown."""

    mirror: str
    last_success: datetime | None = None
    late_after: timedelta = NIGHTLY
    last_run: datetime | None = None
    result: str | None = None
    exit_code: int | None = None
    snapshot: str | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    hint: str | None = None
    read_back: ReadBack | None = None
    damaged: int | None = None  # files
    waiting: summary.Waiting | None = None  # its server was away, and the run that goes on is to try it again


class Status(Struct, frozen=True):
    """A store. `findings` are sentences about what needs attention; without any, all is well."""

    mirrors: list[MirrorStatus]
    space: summary.Space | None
    running_since: datetime | None = None
    stuck: str | None = None
    copied: summary.Copy | None = None
    days_until_full: float | None = None
    warnings: tuple[str, ...] = ()  # of the last run, that belong to no mirror
    pool_damage: tuple[str, ...] = ()  # the findings of the last scrub
    unlisted: tuple[str, ...] = ()  # sentences: histories on the store without a mirror in the configuration
    findings: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        """3 if something needs attention."""
        return ExitCode.WARNINGS if self.findings else ExitCode.DONE


def status(config: Config, now: datetime) -> Status:
    """The status of the configured store."""
    remembered = summary.load(config)
    mirrors = [_mirror(config, mirror, remembered) for mirror in config.mirrors]
    owner = owner_of(config)
    space = summary.space_now(config, now.timestamp())
    found = Status(
        mirrors,
        space,
        running_since=_moment(owner.since) if owner else None,
        stuck=owner.stuck if owner else None,
        copied=remembered.copied,
        days_until_full=days_until_full(config, space),
        warnings=remembered.warnings,
        pool_damage=remembered.pool_damage,
        unlisted=tuple(folder.of_no_mirror(name, config.store.path) for name in _unlisted(config, remembered.space)),
    )
    found.findings.extend(_findings(config, found, now))
    return found


def _mirror(config: Config, mirror: MirrorConfig, remembered: summary.Summary) -> MirrorStatus:
    night, damaged = remembered.nights.get(mirror.name), remembered.damaged_files(mirror.name)
    seen = _in_folder(config, mirror)
    gap = usual_gap(seen)
    if gap is None and night is not None and night.usual_gap is not None:
        gap = timedelta(seconds=night.usual_gap)
    newest, limit = next(iter(seen), None), late_after(mirror.late_after, gap)
    if night is None:
        return MirrorStatus(mirror.name, newest, limit, damaged=damaged)
    known = None if night.read_back is None else replace(night.read_back, damaged=damaged or 0)
    waiting = night.waiting if night.waiting is not None and night.waiting.is_alive else None
    return MirrorStatus(
        mirror.name, newest or _moment(night.last_success), limit, _moment(night.finished),
        "waiting" if waiting else night.result, night.exit_code, night.snapshot, night.warnings, night.error,
        night.hint, known, damaged, waiting,
    )  # fmt: skip


def _in_folder(config: Config, mirror: MirrorConfig) -> list[datetime]:
    """The snapshots, newest first, from the record itself, if that can be read without opening anything."""
    if config.is_plain:
        with ignored():
            return [
                one.taken_at for one in record.load(HardlinkLayout(config.store.path / mirror.name).record).snapshots
            ]
    return []


def _unlisted(config: Config, space: summary.Space | None) -> list[str]:
    """Histories without a mirror: as of the last run, or in the store itself if that need not be opened."""
    names = space.histories if space is not None else ()
    if config.is_plain:
        with suppress(OSError):
            names = tuple(home.name for home in folder.histories(config.store.path))
    return folder.without_section(names, [mirror.name for mirror in config.mirrors])


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def _findings(config: Config, found: Status, now: datetime) -> Iterator[str]:
    if found.stuck:
        yield f"the last run has not ended: {found.stuck}"
    for mirror in found.mirrors:
        if (sentence := _behind(config, mirror.mirror)) is not None:
            yield sentence
        if mirror.last_success is None:
            yield f"{mirror.mirror}: there is no snapshot yet"
        elif now - mirror.last_success > mirror.late_after:
            yield f"{mirror.mirror}: the last success is {_old(now - mirror.last_success)} old"
        elif mirror.last_success - now > _AHEAD:
            ahead = duration((mirror.last_success - now).total_seconds())
            yield f"{mirror.mirror}: the newest snapshot is dated {ahead} ahead of the clock; is it right?"
        if mirror.waiting is not None:
            yield f"{mirror.mirror}: {mirror.waiting.what_next(now)}: {mirror.error}"
        elif mirror.result == "failed":
            yield f"{mirror.mirror}: the last run failed: {mirror.error}"
        elif mirror.warnings:
            number = len(mirror.warnings)
            yield f"{mirror.mirror}: the last night had {number} {'warning' if number == 1 else 'warnings'}"
        if mirror.damaged:
            files = f"{mirror.damaged} damaged {'file is' if mirror.damaged == 1 else 'files are'}"
            mends = "' lists them" if config.zfs is not None else " --heal' mends what it can"
            yield f"{mirror.mirror}: {files} stored; 'snapmirror verify --found{mends}"
        if (known := mirror.read_back) is not None and known.behind_seconds > _BEHIND.total_seconds():
            days = round(known.behind_seconds / 86_400)
            yield f"{mirror.mirror}: reading back is {days} days behind; raise longest_minutes"
    yield from (f"the last run: {warning}" for warning in found.warnings)
    yield from (f"the last scrub: {sentence}" for sentence in found.pool_damage)
    yield from _findings_of_copy(config, found, now)
    space, least = found.space, config.min_free
    if space is not None and space.store_free < least:
        yield f"the store {_left(space.store_free, space, now)}, less than min_free"
    if space is not None and space.disk_free is not None and space.disk_free < least:
        yield f"the disk below the image {_left(space.disk_free, space, now)}, less than min_free"


def _behind(config: Config, mirror: str) -> str | None:
    """Whether the store was put back to an older state, if that can be checked without opening anything."""
    if config.image is None and config.store.path.is_dir():
        with ignored():
            return newest.in_folder(config, mirror, config.store.path)
    return None


def _old(age: timedelta) -> str:
    if age < timedelta(days=2):
        hours = int(age / timedelta(hours=1))
        return "an hour" if hours == 1 else f"{hours} hours"
    return f"{age.days} days"


def _copy_late_after(config: Config, found: Status) -> timedelta:
    """A copy is made when somebody attaches the disk, or after nights, and then no more often than these."""
    assert config.image_copy is not None and found.copied is not None
    times = [_moment(one) for one in (found.copied.last_success, *found.copied.before)]
    limit = late_after(config.image_copy.late_after, usual_gap([one for one in times if one is not None]))
    if config.image_copy.late_after is None:
        limit = max(limit, min(mirror.late_after for mirror in found.mirrors))
    return limit


def _left(free: int, space: summary.Space, now: datetime) -> str:
    is_now = space.at == now.timestamp()
    return f"has {size(free)} left" if is_now else f"had {size(free)} left after the last run"


def _findings_of_copy(config: Config, found: Status, now: datetime) -> Iterator[str]:
    """About the copy of the image, if one is configured or was made."""
    copied = found.copied
    if copied is None:
        if config.image_copy is not None:
            yield "the image was not copied yet"
        return
    last = _moment(copied.last_success)
    if config.image_copy is not None and last is not None and now - last > _copy_late_after(config, found):
        yield f"the last copy of the image is {_old(now - last)} old"
    if copied.error is not None:
        yield f"the last copy of the image failed: {copied.error}"
    yield from (f"the last copy of the image: {warning}" for warning in copied.warnings)
