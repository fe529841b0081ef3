"""The damage that verifications find, for `list`, `status`, the metrics, `verify --found` and the nights.

It is recorded in the store, beside the progress of reading back, so that it moves with the store. Most verifications
open the store read-only, or use it while somebody browses it: they record their findings in the state folder until the
next command that writes to the store moves them there. The number of damaged files is in the state folder as well, for
commands that do not open the store.
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
from snapmirror.snapshots.entry import is_within
from snapmirror.snapshots.history import Catalogue, History
from snapmirror.snapshots.verify import Report, rolling
from snapmirror.snapshots.verify.rolling import Damaged, Round
from snapmirror.state import summary

log = logging.getLogger("snapmirror.verify")


class _Learned(BaseModel):
    """A mirror's known damage now, and the damage that its store had recorded at that time."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    before: tuple[Damaged, ...]
    now: tuple[Damaged, ...]


class _Notes(BaseModel):
    """Damage that stores have not recorded yet, by mirror."""

    model_config = ConfigDict(defer_build=True)  # on most nights there is nothing to read

    format: Literal["snapmirror damage"] = "snapmirror damage"
    version: Literal[1] = 1
    mirrors: dict[str, _Learned] = {}


def load(config: Config, mirror: str, history: Catalogue) -> Round | None:
    """The progress of reading back, and the known damage. None if the store's record of it is damaged."""
    state, learned = rolling.load(history.read_back()), _notes(config).mirrors.get(mirror)
    if state is None or learned is None:
        return state
    known = {one.key: one for one in learned.now}
    if _told(state.damaged) != _told(learned.before):  # the store has recorded more since then: that counts too
        known = {one.key: one for one in state.damaged} | known
    return state.model_copy(update={"damaged": tuple(known.values())})


def save(config: Config, mirror: str, history: History, state: Round) -> None:
    """Record it in the store, which is open for writing. Raises OSError and ForeignError."""
    if state != rolling.load(history.read_back()):
        rolling.save(state, history.read_back())
    settle(config, mirror)


def settle(config: Config, mirror: str) -> None:
    """Drop the note: the store has recorded everything. Raises OSError and ForeignError."""
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
    """Record the findings of a verification, and of the healing after it; return the known damage.

    `full`: it has read all contents of its snapshots. Contents that were known to be damaged are read again, unless
    `looked_again` has that result. `writable`: the store is open for writing. The caller holds the lock. Failures are
    added to the report's `unchecked`.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    state = looked_again or load(config, report.mirror, history)
    if state is None:
        report.unchecked.append(f"earlier damage is unknown: {history.read_back()} is damaged")
        state = Round()
    if looked_again is None and state.damaged:
        progress.begin(f"checking {report.mirror} again")
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
        report.unchecked.append(f"the findings are not recorded: {_said(error)}")
    report.unchecked += _tell(config, report.mirror, state.damaged_files)
    return state


def learn_of_pool(config: Config, damage: Sequence[str]) -> None:
    """Record the findings of a scrub. Failures are logged."""
    try:
        summary.keep_pool_damage(config, damage)
    except (OSError, files.ForeignError) as error:
        log.warning("the findings of the scrub are not recorded: %s", _said(error))


def refresh(config: Config, mirror: str, history: History, gone: Sequence[bytes], progress: Progress) -> None:
    """After snapshots, or these names and what lies below them, were removed: forget what was damaged of it.

    The caller holds the lock, and the store open for writing. Failures are logged: the next night checks again.
    """
    if (before := load(config, mirror, history)) is None or not before.damaged:
        return
    left = [one for one in before.damaged if not any(is_within(one.path_base64, path) for path in gone)]
    state = before.model_copy(update={"damaged": tuple(left)})
    reading = rolling.Reading(history, state, Report(mirror), progress)
    progress.begin(f"checking {mirror} again")
    try:
        reading.look_again(datetime.now(UTC).replace(microsecond=0))
    finally:
        progress.end()
    try:
        save(config, mirror, history, reading.state)
    except (OSError, files.ForeignError) as error:
        log.warning("the damage is not recorded: %s", _said(error))
    for problem in _tell(config, mirror, reading.state.damaged_files):
        log.warning("%s", problem)


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
        # inherited: root verifies a user's store, too
        files.replace(path, notes.model_dump_json(indent=1).encode(), inherited=True)
    else:
        path.unlink(missing_ok=True)


def _tell(config: Config, mirror: str, damaged: int) -> list[str]:
    """Update the number for commands that do not open the store. Returns failures as warnings."""
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
