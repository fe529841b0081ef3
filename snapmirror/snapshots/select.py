"""Finds the snapshot that a user names: by an id, the beginning of one (a date), a slot number, `newest`.

2026-11-20T030000Z   2026-11-20   1   backup.1   newest   latest
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from snapmirror.errors import UsageError
from snapmirror.snapshots.record import Snapshot

_NEWEST = {"newest", "latest"}
_SLOT = re.compile(r"(?:backup\.)?([0-9]{1,6})")
_ONLY_A_SLOT = re.compile(r"backup\.[0-9]+|[0-9]{1,3}")
"""These are not the beginning of a date: a year has four digits."""
_SHOWN = 5


class Chosen(Struct, frozen=True):
    """A snapshot and its mirror."""

    mirror: str
    snapshot: Snapshot


def choose(histories: Mapping[str, Sequence[Snapshot]], text: str) -> Chosen:
    """The snapshot that `text` names, in any mirror; each history is newest first.

    Raises UsageError when it names none or several.
    """
    found = {name: matching(snapshots, text) for name, snapshots in histories.items()}
    found = {name: snapshots for name, snapshots in found.items() if snapshots}
    if not found:
        raise _unknown(histories, text)
    if len(found) > 1:
        raise UsageError(
            f"{text!a} is a snapshot of several mirrors: {', '.join(found)}", hint="say which one with --mirror NAME"
        )
    [(mirror, snapshots)] = found.items()
    if len(snapshots) > 1:
        raise UsageError(
            f"{text!a} is the beginning of {len(snapshots)} snapshots: {_some([one.id for one in snapshots])}",
            hint="write more of the one that you mean",
        )
    return Chosen(mirror, snapshots[0])


def matching(snapshots: Sequence[Snapshot], text: str) -> list[Snapshot]:
    """Every snapshot that `text` may name."""
    if text in _NEWEST:
        return list(snapshots[:1])
    slot = _SLOT.fullmatch(text)
    by_slot = [one for one in snapshots if slot is not None and one.slot == int(slot[1])]
    if by_slot or not text or _ONLY_A_SLOT.fullmatch(text):
        return by_slot
    wanted = text.replace(":", "").upper()  # 2026-11-20T03:00 is what people type
    exact = [one for one in snapshots if one.id == wanted]
    return exact or [one for one in snapshots if one.id.startswith(wanted)]


def _unknown(histories: Mapping[str, Sequence[Snapshot]], text: str) -> UsageError:
    ids = {one.id for snapshots in histories.values() for one in snapshots}
    where = f"mirror {next(iter(histories))}" if len(histories) == 1 else "the store"
    if not ids:
        return UsageError(f"{where} holds no snapshots yet", hint="'snapmirror run' makes the first")
    if _ONLY_A_SLOT.fullmatch(text):
        slots = max(len(snapshots) for snapshots in histories.values())
        return UsageError(
            f"there is no snapshot in slot {text.removeprefix('backup.')}",
            hint=f"{where} has the slots 1 to {slots}" if slots > 1 else f"{where} has one snapshot, in slot 1",
        )
    close = difflib.get_close_matches(text.upper(), ids, n=3, cutoff=0.7) or sorted(ids, reverse=True)[:_SHOWN]
    return UsageError(
        f"no snapshot is called {text!a}",
        hint=f"there are {_some(sorted(close, reverse=True))}; 'snapmirror list' shows all, and 'newest' is the last",
    )


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")
