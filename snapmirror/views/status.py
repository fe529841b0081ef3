"""`status --json`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, TypedDict

from snapmirror.text import harmless
from snapmirror.views.fields import plain, utc_of, utc_time

if TYPE_CHECKING:
    from snapmirror.state.status import MirrorStatus, Status

VERSION = 1


class MirrorFields(TypedDict):
    """A mirror in `status --json`. Unknown values are null; times are UTC."""

    mirror: str
    last_success_at: str | None
    last_success_age_seconds: int | None
    late_after_seconds: int
    last_run_at: str | None
    result: str | None
    exit_code: int | None
    snapshot: str | None
    warnings: list[str]
    error: str | None
    hint: str | None
    read_back_share: float | None
    read_back_completed_at: str | None
    read_back_behind_seconds: int | None
    damaged_files: int | None
    next_try_at: str | None
    next_try: int | None
    retries: int | None


class StatusFields(TypedDict):
    """What `status --json` prints. Space is in bytes, as of `space_at`.

    For a plain folder that is now, for every other store the end of the last run that opened it.
    """

    exit_code: int
    findings: list[str]
    unlisted: list[str]
    running_since: str | None
    space_at: str | None
    store_free_bytes: int | None
    image_bytes: int | None
    disk_free_bytes: int | None
    days_until_full: float | None
    mirrors: list[MirrorFields]


def status(found: Status, now: datetime) -> StatusFields:
    """The status of a store."""
    space = found.space
    return {
        "exit_code": int(found.exit_code),
        "findings": plain(found.findings),
        "unlisted": plain(found.unlisted),
        "running_since": _utc(found.running_since),
        "space_at": utc_of(space.at) if space else None,
        "store_free_bytes": space.store_free if space else None,
        "image_bytes": space.image if space else None,
        "disk_free_bytes": space.disk_free if space else None,
        "days_until_full": round(found.days_until_full, 1) if found.days_until_full is not None else None,
        "mirrors": [_mirror(mirror, now) for mirror in found.mirrors],
    }


def _mirror(mirror: MirrorStatus, now: datetime) -> MirrorFields:
    last, known = mirror.last_success, mirror.read_back
    return {
        "mirror": mirror.mirror,
        "last_success_at": _utc(last),
        "last_success_age_seconds": int((now - last).total_seconds()) if last else None,
        "late_after_seconds": int(mirror.late_after.total_seconds()),
        "last_run_at": _utc(mirror.last_run),
        "result": mirror.result,
        "exit_code": mirror.exit_code,
        "snapshot": mirror.snapshot,
        "warnings": plain(mirror.warnings),
        "error": harmless(mirror.error) if mirror.error else None,
        "hint": harmless(mirror.hint) if mirror.hint else None,
        "read_back_share": round(known.share, 4) if known else None,
        "read_back_completed_at": utc_of(known.completed) if known and known.completed is not None else None,
        "read_back_behind_seconds": int(known.behind_seconds) if known else None,
        "damaged_files": mirror.damaged,
        "next_try_at": utc_of(mirror.waiting.until) if mirror.waiting else None,
        "next_try": mirror.waiting.tried if mirror.waiting else None,
        "retries": mirror.waiting.retries if mirror.waiting else None,
    }


def _utc(moment: datetime | None) -> str | None:
    return utc_time(moment) if moment else None
