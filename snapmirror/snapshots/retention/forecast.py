"""When each snapshot will go, if nights go on as they did: the rules are asked after each night to come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

from msgspec import Struct

from snapmirror.snapshots.record import Snapshot, make_id
from snapmirror.snapshots.retention import decide
from snapmirror.snapshots.retention.rules import Rules

NIGHTS = 400  # that are looked ahead


class Stay(Struct, frozen=True):
    """Why a snapshot is kept (or why it is not), and the night that lets it expire: None if it stays for all nights
    that are looked ahead."""

    reasons: tuple[str, ...]
    until: datetime | None


def stays(snapshots: Sequence[Snapshot], rules: Rules, gap: timedelta, zone: tzinfo | None = None) -> dict[str, Stay]:
    """How long each snapshot stays, by id; `snapshots` are newest first, nights to come `gap` apart."""
    until = goes(snapshots, rules, gap, zone)
    return {one.snapshot.id: Stay(one.reasons, until.get(one.snapshot.id)) for one in decide(snapshots, rules, zone)}


def goes(
    snapshots: Sequence[Snapshot], rules: Rules, gap: timedelta, zone: tzinfo | None = None
) -> dict[str, datetime]:
    """The time of the night that lets each snapshot expire; those that stay for all nights to come are missing.

    `snapshots` are newest first. Nights to come are `gap` apart, and complete.
    """
    if not snapshots:
        return {}
    found: dict[str, datetime] = {}
    waiting = {one.id for one in snapshots if not one.pinned}
    there, when, sequence = list(snapshots), snapshots[0].taken_at, snapshots[0].sequence
    for number in range(1, NIGHTS + 1):
        if not waiting:
            break
        try:
            when += gap
        except OverflowError:
            break
        night = Snapshot(id=make_id(when), sequence=sequence + number, slot=0, files=0, entries=0, bytes=0, new_bytes=0)
        decisions = decide([night, *there], rules, zone)
        for one in decisions:
            if not one.keep and one.snapshot.id in waiting:
                waiting.discard(one.snapshot.id)
                found[one.snapshot.id] = when
        there = [one.snapshot for one in decisions if one.keep]
    return found
