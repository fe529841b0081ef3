"""What any verification finds damaged is known to `list`, `status`, the metrics, `verify --found` and the nights.

It is written down in the store, beside how far the nights have read, so that it goes where the store goes. Most
verifications open the store for reading only, or use it while somebody browses it: what these learn lies in the state
folder until the next command that writes to the store puts it there. How much it is stands in the state folder as well,
for those who do not open the store.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from snapmirror import files
from snapmirror.config import Config
from snapmirror.model import Progress
from snapmirror.snapshots.history import Catalogue, History
from snapmirror.snapshots.verify import Report, rolling
from snapmirror.snapshots.verify.rolling import Damaged, Round
from snapmirror.state import summary

log = logging.getLogger("snapmirror.verify")


class _Learned(BaseModel):
    """What is known of a mirror's damage now, and what its store knew of it by then."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    before: tuple[Damaged, ...]
    now: tuple[Damaged, ...]


class _Notes(BaseModel):
    """What stores do not know yet, by mirror."""

    model_config = ConfigDict(defer_build=True)  # most nights, there is nothing to read

    format: Literal["snapmirror damage"] = "snapmirror damage"
    version: Literal[1] = 1
    mirrors: dict[str, _Learned] = {}


def load(config: Config, mirror: str, history: Catalogue) -> Round | None:
    """How far the nights have read, and what is known to be damaged. None if the store's note of it is damaged."""
    state, learned = rolling.load(history.read_back()), _notes(config).mirrors.get(mirror)
    if state is None or learned is None:
        return state
    known = {one.key: one for one in learned.now}
    if _told(state.damaged) != _told(learned.before):  # somebody else has learned something since: that holds, too
        known = {one.key: one for one in state.damaged} | known
    return state.model_copy(update={"damaged": tuple(known.values())})


def save(config: Config, mirror: str, history: History, state: Round) -> None:
    """Write it down in the store, which is open for writing. Raises OSError and ForeignError."""
    if state != rolling.load(history.read_back()):
        rolling.save(state, history.read_back())
    settle(config, mirror)


def settle(config: Config, mirror: str) -> None:
    """The store knows everything. Raises OSError and ForeignError."""
    notes = _notes(config)
    if notes.mirrors.pop(mirror, None) is not None:
        _write(config, notes)


def learn(
    config: Config,
    history: History,
    report: Report,
    progress: Progress,
    *,
    full: bool = False,
    looked_again: Round | None = None,
    writable: bool = False,
) -> Round:
    """Remember what a verification, and the healing after it, have shown; return what is known now.

    `full`: it has read all contents of its snapshots. Contents that were known to be damaged are read again, unless
    `looked_again` is what came of that. `writable`: the store is open for writing. The caller holds the lock. What goes
    wrong is said among the report's `unchecked`.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    state = looked_again or load(config, report.mirror, history)
    if state is None:
        report.unchecked.append(f"what was found damaged before is not known: {history.read_back()} is damaged")
        state = Round()
    if looked_again is None and state.damaged:
        progress.begin(f"looking again at {report.mirror}")
        try:
            reading = rolling.Reading(history, state, Report(report.mirror), progress)
            reading.look_again(now)
            state = reading.state
        finally:
            progress.end()
    state = state.learned(report, now, {one.id for one in history.snapshots()}, full=full)
    try:
        _keep(config, report.mirror, history, state, writable=writable)
    except (OSError, files.ForeignError) as error:
        report.unchecked.append(f"what was found is not remembered: {_said(error)}")
    report.unchecked += _tell(config, report.mirror, state.damaged_files)
    return state


def learn_of_pool(config: Config, damage: Sequence[str]) -> None:
    """Remember what a scrub has found. What goes wrong is logged."""
    try:
        summary.keep_pool_damage(config, damage)
    except (OSError, files.ForeignError) as error:
        log.warning("what the scrub has found is not remembered: %s", _said(error))


def refresh(config: Config, mirror: str, history: History, gone: Sequence[bytes], progress: Progress) -> None:
    """After snapshots, or these names and what lies below them, were removed: forget what was damaged of it.

    The caller holds the lock, and the store open for writing. What goes wrong is logged: the next night looks again.
    """
    if (before := load(config, mirror, history)) is None or not before.damaged:
        return
    left = [one for one in before.damaged if not any(_is_below(one.path_base64, path) for path in gone)]
    state = before.model_copy(update={"damaged": tuple(left)})
    reading = rolling.Reading(history, state, Report(mirror), progress)
    progress.begin(f"looking again at {mirror}")
    try:
        reading.look_again(datetime.now(UTC).replace(microsecond=0))
    finally:
        progress.end()
    try:
        save(config, mirror, history, reading.state)
    except (OSError, files.ForeignError) as error:
        log.warning("what is damaged is not remembered: %s", _said(error))
    for problem in _tell(config, mirror, reading.state.damaged_files):
        log.warning("%s", problem)


def _is_below(name: bytes, path: bytes) -> bool:
    return name == path or name.startswith(path + b"/")


def _keep(config: Config, mirror: str, history: History, state: Round, *, writable: bool) -> None:
    stored = rolling.load(history.read_back())
    before = stored.damaged if stored is not None else ()
    if writable and (stored is not None or state.damaged):
        save(config, mirror, history, state)
        return
    notes = _notes(config)
    was = notes.mirrors.pop(mirror, None)
    if _told(before) != _told(state.damaged):
        notes.mirrors[mirror] = _Learned(before=before, now=state.damaged)
    if notes.mirrors.get(mirror) != was:
        _write(config, notes)


def _told(damaged: Sequence[Damaged]) -> dict[object, tuple[str, ...]]:
    return {one.key: one.snapshots for one in damaged}


def _notes(config: Config) -> _Notes:
    path = summary.damage_file(config)
    with suppress(FileNotFoundError):
        try:
            return _Notes.model_validate_json(files.read(path))
        except (OSError, files.ForeignError, ValidationError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            log.warning("%s cannot be read: %s", path, str(error).splitlines()[0])
    return _Notes()


def _write(config: Config, notes: _Notes) -> None:
    path = summary.damage_file(config)
    if notes.mirrors:
        files.replace(path, notes.model_dump_json(indent=1).encode(), 0o600)
    else:
        path.unlink(missing_ok=True)


def _tell(config: Config, mirror: str, damaged: int) -> list[str]:
    """Let those know who do not open the store. Returns what went wrong: warnings."""
    if (summary.load(config).damaged_files(mirror) or 0) == damaged:
        return []
    try:
        known = summary.keep_damaged(config, mirror, damaged)
        if config.report.metrics_file is not None:
            from snapmirror.state import metrics  # only if wanted: a start of a night is counted in milliseconds

            metrics.write(config, known)
    except (OSError, files.ForeignError) as error:
        return [_said(error)]
    return []


def _said(error: OSError | files.ForeignError) -> str:
    if isinstance(error, files.ForeignError):
        return error.message
    return f"{error.filename} cannot be written: {error.strerror}"
