"""The doctor's checks of the sources: reachable, host key known, login accepted, folder there; age of the last success.

Runs rsync, through `tools.reach`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from snapmirror.check import Check, fail, failed, ok, warn
from snapmirror.config import Config, MirrorConfig
from snapmirror.errors import ExitCode, SnapmirrorError, ignored
from snapmirror.model import count
from snapmirror.snapshots import record
from snapmirror.snapshots.hardlink.layout import HardlinkLayout
from snapmirror.snapshots.zfs.layout import ZfsLayout
from snapmirror.sources import named_files, settings
from snapmirror.sources.databases import NO_BACKUP
from snapmirror.state import newest, summary
from snapmirror.state.lateness import CLOCK_TOLERANCE, late_after, usual_gap
from snapmirror.tools import ssh
from snapmirror.tools.reach import Answer, reach

_TRANSFER = ExitCode.TRANSFER
_BUILT = datetime(2026, 1, 1, tzinfo=UTC)  # a clock before this was never set


def examine(mirror: MirrorConfig) -> Iterator[Check]:
    """One mirror's source."""
    broken = list(_files(mirror))
    yield from broken
    if any(check.level == "fail" for check in broken):
        return
    answer = reach(settings.location(mirror))
    if answer.obstacle is None and answer.entries == 0:
        mend = "is it mounted there? the guard would stop a run that finds everything gone"
        yield warn(_topic(mirror), f"{mirror.source} is empty", mend)
    elif answer.obstacle is None:
        known = "reachable, host key known" if mirror.source.kind == "ssh" else "reachable"
        yield ok(_topic(mirror), f"{mirror.source}: {known}, {count(answer.entries, 'entry', 'entries')} in its folder")
    else:
        message, mend = _explained(mirror, answer)
        detail = f" ({answer.complaint})" if answer.complaint else ""
        yield fail(_topic(mirror), f"{mirror.source}: {message}{detail}", mend, _TRANSFER)


def clock(config: Config, store: Path | None, now: datetime) -> Iterator[Check]:
    """Is the clock sane: set at all, and not before the newest snapshot?"""
    if now < _BUILT:
        yield fail("clock", f"it says {now:%Y-%m-%d}", "set it: 'timedatectl set-ntp true'", ExitCode.USAGE)
        return
    latest = list(_newest(config, store))
    if latest and max(latest) - now > CLOCK_TOLERANCE:
        yield fail(
            "clock",
            f"it says {now:%Y-%m-%d %H:%M} UTC, but the newest snapshot is from {max(latest):%Y-%m-%d %H:%M} UTC",
            "set the clock: 'timedatectl set-ntp true'",
            ExitCode.USAGE,
        )
    else:
        yield ok("clock", f"{now:%Y-%m-%d %H:%M} UTC")


def last_success(config: Config, store: Path | None, now: datetime) -> Iterator[Check]:
    """How each mirror's last run went, how old its newest snapshot is, and its known damage.

    If the store is closed, from the state that runs keep.
    """
    remembered = summary.load(config)
    for mirror in config.mirrors:
        night = remembered.nights.get(mirror.name)
        if damaged := remembered.damaged_files(mirror.name):
            mend = f"snapmirror verify --found --heal --mirror {mirror.name}"
            yield warn(_topic(mirror), f"{count(damaged, 'damaged file')} known in its history", mend)
        for warning in night.warnings if night is not None else ():
            if NO_BACKUP in warning:
                yield warn(_topic(mirror), warning, "see 'snapmirror help sources'")
        try:
            dates = _dates_of(config, store, mirror) if store is not None else []
            behind = newest.in_folder(config, mirror.name, store) if store is not None else None
        except SnapmirrorError as error:
            yield failed(_topic(mirror), error)
            continue
        last, gap = next(iter(dates), None), usual_gap(list(map(record.parse_id, dates)))
        if gap is None and night is not None and night.usual_gap is not None:
            gap = timedelta(seconds=night.usual_gap)
        if behind is not None:
            yield fail(_topic(mirror), behind, newest.HINT, ExitCode.GUARD)
        if night is not None and night.waiting is not None and night.waiting.is_alive:
            yield ok(_topic(mirror), f"{night.waiting.what_next(now)}: {night.error}")
        elif night is not None and night.result == "failed":
            yield _failed_night(mirror, night, record.parse_id(last) if last else None, now)
        elif last is not None:
            yield _age(mirror, gap, f"the newest snapshot is {last}", record.parse_id(last), now)
        elif store is not None:
            yield warn(_topic(mirror), "there is no snapshot yet", f"snapmirror run {mirror.name}")
        elif night is not None:
            when = datetime.fromtimestamp(night.finished, UTC)
            yield _age(mirror, gap, f"the last run made {night.snapshot}", when, now)
        else:  # closed, and not opened for this: it may hold snapshots of another machine
            yield warn(_topic(mirror), "no run of it is known on this machine", f"snapmirror run {mirror.name}")


def _failed_night(mirror: MirrorConfig, night: summary.Night, last: datetime | None, now: datetime) -> Check:
    if last is None and night.last_success is not None:
        last = datetime.fromtimestamp(night.last_success, UTC)
    good = f"the last success is from {_ago(last, now)}" if last is not None else "none has succeeded yet"
    when = _ago(datetime.fromtimestamp(night.finished, UTC), now)
    message = f"the last run, {when}, failed: {night.error}; {good}"
    # (its hint is of that time: what it names may be mended by now, or over)
    hint = f"; the hint of that run was: {night.hint}" if night.hint else ""
    return warn(_topic(mirror), message, f"'snapmirror run {mirror.name}' tries again{hint}")


def _age(mirror: MirrorConfig, gap: timedelta | None, what: str, when: datetime, now: datetime) -> Check:
    if now - when > late_after(mirror.late_after, gap):
        return warn(_topic(mirror), f"{what}, {_ago(when, now)}", "does cron run it? look at its log")
    return ok(_topic(mirror), f"{what}, {_ago(when, now)}")


def _ago(when: datetime, now: datetime) -> str:
    hours = max(0, int((now - when).total_seconds() // 3600))
    if hours >= 48:
        return f"{hours // 24} days ago"
    if hours == 0:
        return "less than an hour ago"
    return f"{hours} {'hour' if hours == 1 else 'hours'} ago"


def _newest(config: Config, store: Path | None) -> Iterator[datetime]:
    for mirror in config.mirrors if store else ():
        with ignored():  # last_success reports what is wrong with it
            yield from map(record.parse_id, (_dates_of(config, store, mirror) if store else [])[:1])


def _dates_of(config: Config, store: Path, mirror: MirrorConfig) -> list[str]:
    """The names of the snapshots, newest first; ZFS keeps no record, but has the dated names."""
    root = store / mirror.name
    if config.zfs is not None:
        dated = ZfsLayout(root)
        dated.check()
        with suppress(FileNotFoundError):
            return sorted((link.name for link in dated.by_date.iterdir()), reverse=True)
        return []
    layout = HardlinkLayout(root)
    layout.check()
    return [one.id for one in record.load(layout.record).snapshots]


def _topic(mirror: MirrorConfig) -> str:
    return f"mirror {mirror.name}"


def _files(mirror: MirrorConfig) -> Iterator[Check]:
    """The files that the mirror's options name."""
    for problem in named_files.problems(mirror):
        yield fail(_topic(mirror), problem.message, problem.mend, ExitCode.USAGE)


def _explained(mirror: MirrorConfig, answer: Answer) -> tuple[str, str]:
    """An obstacle in words, and how to mend it."""
    source = mirror.source
    if answer.refusal is not None:
        return answer.refusal.message, answer.refusal.hint
    match answer.obstacle:
        case "unknown host key":
            scan = _scan(mirror, answer.host)
            return (
                f"{_whose(mirror, answer.host)} host key is not known",
                f"compare the key with the server's own, then keep it: {scan}",
            )
        case "changed host key":
            remove = f"ssh-keygen -R {_quoted(answer.host or known_name(mirror))} -f {_known_hosts(mirror)}"
            scan = _scan(mirror, answer.host)
            return (
                f"{_whose(mirror, answer.host)} host key has changed: another machine answers, or it was reinstalled",
                f"if the server was really reinstalled: {remove}; then compare and keep the new key: {scan}",
            )
        case "login refused" if source.kind == "ssh":
            return "it refuses the login", "add our public key to its authorized_keys, or correct user and identity"
        case "login refused" if source.kind == "daemon":
            return "it refuses the login", "correct the user in the source, and password_file"
        case "login refused":
            return "it cannot be read by this user", "run as root, or change its owner or mode"
        case "unreachable":
            return "it does not answer", "is the server up, its name right, the port open?"
        case "no path":
            return "there is no such folder", "correct the path in source; is it mounted there?"
        case _:
            return "it cannot be listed", "run 'snapmirror --verbose doctor' and try its rsync by hand"


def _known_hosts(mirror: MirrorConfig) -> str:
    return str(mirror.known_hosts or "~/.ssh/known_hosts")


def known_name(mirror: MirrorConfig) -> str:
    """The name of a mirror's server in files of known hosts."""
    port = mirror.port or mirror.source.port
    return f"[{mirror.source.host}]:{port}" if port and port != 22 else mirror.source.host


def _whose(mirror: MirrorConfig, name: str) -> str:
    """It is the server's key, unless ssh names another machine."""
    if name in ("", known_name(mirror)):
        return "its"
    return f"{'the jump host ' if mirror.jump_host else ''}{name}: its"


def _scan(mirror: MirrorConfig, name: str) -> str:
    """The command that saves the key of the machine that ssh names. A jump host must scan a host behind it."""
    target = known_name(mirror)
    found = re.fullmatch(r"\[(.+)\]:(\d+)", name or target)
    scan = f"ssh-keyscan -p {found[2]} {found[1]}" if found else f"ssh-keyscan {name or target}"
    if mirror.jump_host and name == target:
        gate, port = ssh.jump(mirror.jump_host)
        scan = f"ssh {f'-p {port} ' if port else ''}{gate} {scan}"
    return f"{scan} >> {_known_hosts(mirror)}"


def _quoted(name: str) -> str:
    return f"'{name}'" if name.startswith("[") else name
