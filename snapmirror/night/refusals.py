"""The errors that would stop a run, as far as a plan shows them: for `snapmirror plan`, which changes nothing.

Whether content has turned random is known only after it has arrived (see `scrambled`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from snapmirror.config import MirrorConfig
from snapmirror.errors import GuardError, NoRoomError
from snapmirror.history import room
from snapmirror.night import guard, losses
from snapmirror.night.planning import Planned
from snapmirror.snapshots.history import History
from snapmirror.storage.open_store import OpenStore


def refusals(
    mirror: MirrorConfig, store: OpenStore, history: History, planned: Planned, clock: datetime
) -> list[GuardError | NoRoomError]:
    """The errors of a night with this plan that began at `clock`. The guards' warnings are added to the plan."""
    plan, found = planned.plan, list[GuardError | NoRoomError]()

    def ask(check: Callable[[], None]) -> None:
        try:
            check()
        except (GuardError, NoRoomError) as error:
            found.append(error)

    ask(lambda: guard.check_changes(mirror, plan))
    ask(lambda: planned.warnings.extend(losses.check(mirror, history, plan, clock)))
    ask(lambda: guard.check_expiry(mirror, planned.expiry))
    ask(lambda: _check_room(mirror, store, history, planned))
    return found


def _check_room(mirror: MirrorConfig, store: OpenStore, history: History, planned: Planned) -> None:
    """Sparse files take less than their size. Files fetched by an interrupted night are not considered."""
    plan = planned.plan
    try:
        guard.check_room(mirror, store, plan.counts["bytes"], plan.requested)
    except NoRoomError:
        coming = room.to_come(mirror, plan, history, store, trusting=False)
        guard.check_room(mirror, store, coming, plan.requested)
