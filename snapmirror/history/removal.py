"""Removal by an administrator's command: of snapshots, or of names from all snapshots.

Each is checked first, and refused if it would remove something by mistake: a pinned snapshot, the last complete one,
most of everything at once. `find_names` and `check_*` change nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from msgspec import Struct

from snapmirror import machine
from snapmirror.config import Config, MirrorConfig
from snapmirror.errors import ACCEPT, GuardError, UsageError
from snapmirror.snapshots import times
from snapmirror.snapshots.entry import escape
from snapmirror.snapshots.hardlink.purging import Held, held
from snapmirror.snapshots.history import History
from snapmirror.snapshots.record import Purge, Snapshot
from snapmirror.state import newest

_MOST_AT_ONCE = 3


def check_forget(history: History, chosen: Sequence[Snapshot], *, accept: bool) -> None:
    """Raises UsageError for a pinned snapshot, GuardError if too little would remain."""
    if pinned := [one.id for one in chosen if one.pinned]:
        raise UsageError(f"{pinned[0]} is pinned", hint=f"'snapmirror unpin {pinned[0]}' releases it")
    gone = {one.id for one in chosen}
    stay = [one for one in history.snapshots() if one.id not in gone]
    if all(one.degraded for one in stay):
        raise GuardError(
            "no complete snapshot would remain",
            hint="forget fewer; 'snapmirror retire' removes the whole history of a mirror that is no longer backed up",
        )
    if len(gone) > _MOST_AT_ONCE and len(gone) > len(stay) and not accept:
        raise GuardError(f"{len(gone)} of {len(gone) + len(stay)} snapshots would be removed", hint=ACCEPT)


def forget(config: Config, mirror: MirrorConfig, history: History, chosen: Sequence[Snapshot]) -> None:
    """Remove snapshots. Raises SnapmirrorError."""
    gone = {one.id for one in chosen}
    stay = [one for one in history.snapshots() if one.id not in gone]
    if history.snapshots()[0].id in gone and newest.behind(config, mirror.name, history.snapshots()) is None:
        newest.remember(config, mirror.name, stay[0])  # first: a store with newer ones than noted is accepted
    history.forget(chosen)


class Names(Struct):
    """The names that a purge would remove: what each snapshot holds of them, newest first."""

    paths: list[bytes]
    held: list[Held]

    @property
    def others(self) -> list[bytes]:
        """Further names of the same files, which remain."""
        return sorted({path for one in self.held for path in one.others})


def find_names(mirror: MirrorConfig, history: History, paths: Sequence[bytes], *, accept: bool) -> Names:
    """What a purge of these paths would remove. Raises UsageError, GuardError, DamagedManifest."""
    if b"." in paths:
        raise UsageError("this is the whole tree", hint=f"'snapmirror retire {mirror.name}' removes all of it")
    found = [held(history.manifest(one), one, paths) for one in history.snapshots()]
    found = [one for one in found if one.entries]
    if not found:
        shown = ", ".join(map(_shown, paths))
        raise UsageError(f"no snapshot of {mirror.name} holds {shown}", hint="'snapmirror find' searches for names")
    if history.purging is None:
        raise UsageError(
            f"snapshots of ZFS cannot be changed; {', '.join(one.snapshot.id for one in found)} hold it",
            hint="'snapmirror forget' removes these snapshots as a whole",
        )
    if pinned := [one.snapshot.id for one in found if one.snapshot.pinned]:
        raise UsageError(
            f"{pinned[0]} is pinned and holds it", hint=f"'snapmirror unpin {pinned[0]}', then purge again"
        )
    most = max(found, key=lambda one: len(one.entries) / max(1, one.snapshot.entries))
    limit = mirror.guard.max_deleted * most.snapshot.entries
    if len(most.entries) >= mirror.guard.at_least and len(most.entries) > limit and not accept:
        raise GuardError(
            f"{len(most.entries)} of {most.snapshot.entries} entries of {most.snapshot.id} would be purged", hint=ACCEPT
        )
    return Names(list(paths), found)


def purge(history: History, names: Names) -> None:
    """Remove them from all snapshots, with a note in the record. Raises SnapmirrorError."""
    assert history.purging is not None
    note = Purge(
        at=times.iso(int(time.time())),
        by=machine.who(),
        paths=tuple(map(_shown, names.paths)),
        snapshots={one.snapshot.id: len(one.entries) for one in names.held},
    )
    history.purging.purge(names.paths, note)


def _shown(path: bytes) -> str:
    return escape(path).decode("utf-8", "backslashreplace")
