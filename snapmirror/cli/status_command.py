"""`snapmirror status`: the last success, the last night, and what is left, without opening the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from snapmirror import folder
from snapmirror.cli.output import note, out, out_json, table
from snapmirror.cli.shell import Json, shell_of
from snapmirror.model import count
from snapmirror.text import age, harmless, local_time, utc_time

if TYPE_CHECKING:
    from snapmirror.state.status import MirrorStatus, Status


class MirrorFields(TypedDict):
    """A mirror in `status --json`. What is not known is null; times are UTC."""

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
    """What `status --json` prints. Space is in bytes, of the moment `space_at`.

    Of a plain folder that is now, of every other store when the last run that could see it ended.
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


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(status)


def status(
    context: typer.Context,
    findings: Annotated[
        bool, typer.Option("--findings", help="Only what needs a look, a line each, with hints: for a message.")
    ] = False,
    json: Json = False,
) -> None:
    """Tell how old the last success is, how the last night went, and what space is left. Opens nothing.

    Exit code 3 when something needs a look: an old or missing success, a failed night, warnings, little space.
    """
    from snapmirror.config import load
    from snapmirror.state.status import status as look

    shell = shell_of(context)
    now = datetime.now(UTC)
    found = look(load(shell.config_path), now)  # not shell.config: the share is not touched, so nobody need watch
    if json:
        out_json(_as_json(found, now))
    elif findings:
        from snapmirror.state import render

        for sentence in render.needs_a_look(found):
            out(harmless(sentence))
    else:
        _show(found, now)
    if found.exit_code:
        raise typer.Exit(int(found.exit_code))


def _show(found: Status, now: datetime) -> None:
    from snapmirror.state import render

    headings = ["MIRROR", "LAST SUCCESS", "AGE", "LAST RUN", "RESULT"]
    table(headings, ([harmless(cell) for cell in _row(mirror, now)] for mirror in found.mirrors))
    for mirror in found.mirrors:
        for warning in mirror.warnings:
            note(f"{mirror.mirror}: warning: {warning}")
        if mirror.read_back is not None:
            note(f"{mirror.mirror}: {render.read_back(mirror.read_back)}")
    if found.running_since is not None:
        note(f"a run holds the store, since {local_time(found.running_since)}")
    if found.space is not None:
        note(render.space_left(found.space, live=found.space.at == now.timestamp()))
        if found.days_until_full is not None:
            days = count(round(found.days_until_full), "day")
            note(f"by the pace of the last nights that is full in {days}")
    for sentence in found.unlisted:
        note(sentence)
    if found.unlisted:
        note(f"  hint: {folder.OF_NO_MIRROR}")
    for finding in found.findings:
        out(harmless(finding))
    if not found.findings:
        out("all is well")


def _row(mirror: MirrorStatus, now: datetime) -> list[str]:
    result = mirror.result or ""
    if mirror.warnings:
        result = f"{result}, {count(len(mirror.warnings), 'warning')}"
    if mirror.waiting is not None:
        result = f"{result} (try {mirror.waiting.tried} of {mirror.waiting.retries})"
    if mirror.exit_code and mirror.result == "failed":
        result = f"{result} ({mirror.exit_code})"
    return [
        mirror.mirror,
        local_time(mirror.last_success) if mirror.last_success else "never",
        age(mirror.last_success, now) if mirror.last_success else "",
        local_time(mirror.last_run) if mirror.last_run else "",
        result,
    ]


def _as_json(found: Status, now: datetime) -> StatusFields:
    space = found.space
    return {
        "exit_code": int(found.exit_code),
        "findings": [harmless(finding) for finding in found.findings],
        "unlisted": [harmless(sentence) for sentence in found.unlisted],
        "running_since": _utc(found.running_since),
        "space_at": utc_time(datetime.fromtimestamp(space.at, UTC)) if space else None,
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
        "warnings": [harmless(warning) for warning in mirror.warnings],
        "error": harmless(mirror.error) if mirror.error else None,
        "hint": harmless(mirror.hint) if mirror.hint else None,
        "read_back_share": round(known.share, 4) if known else None,
        "read_back_completed_at": _utc(_moment(known.completed)) if known else None,
        "read_back_behind_seconds": int(known.behind_seconds) if known else None,
        "damaged_files": mirror.damaged,
        "next_try_at": _utc(_moment(mirror.waiting.until)) if mirror.waiting else None,
        "next_try": mirror.waiting.tried if mirror.waiting else None,
        "retries": mirror.waiting.retries if mirror.waiting else None,
    }


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def _utc(moment: datetime | None) -> str | None:
    return utc_time(moment) if moment else None
