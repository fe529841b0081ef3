"""Decides which snapshots are kept: a pure function. Rules vote for those that they keep, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from msgspec import Struct
from msgspec.structs import replace

from snapmirror.snapshots.record import Snapshot
from snapmirror.snapshots.retention.rules import Cycle, Hanoi, Rules
from snapmirror.snapshots.retention.votes import days, votes


class Decision(Struct, frozen=True):
    """The decision on one snapshot, and its reasons: those of the rules that keep it, or the one why none does."""

    snapshot: Snapshot
    keep: bool
    reasons: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The most telling one."""
        return self.reasons[0]


def decide(snapshots: Sequence[Snapshot], rules: Rules, zone: tzinfo | None = None) -> list[Decision]:
    """Decide for each snapshot; `snapshots` are in order, the newest first.

    Kept are those named by `rules`, and pinned ones. Hours, days and other periods are those of `zone`; None: of this
    machine.
    """
    reasons: dict[str, list[str]] = {}
    for one, reason in votes(snapshots, rules, zone):
        reasons.setdefault(one.id, []).append(reason)
    gone = _gone(rules)
    return [Decision(one, one.id in reasons, tuple(reasons.get(one.id, gone))) for one in snapshots]


def expired(snapshots: Sequence[Snapshot], rules: Rules, zone: tzinfo | None = None) -> list[Decision]:
    """The decisions on those that expire, each with its reason; `snapshots` are all snapshots, newest first."""
    return [decision for decision in decide(snapshots, rules, zone) if not decision.keep]


class Expiry(Struct, frozen=True):
    """The snapshots that a new one would let expire. `at_once` counts them: all that also expire by the rules of the
    last night are one, as an hourly run catches up with the hours of a few failed nights."""

    decisions: list[Decision]
    at_once: int


def expiry(snapshots: Sequence[Snapshot], tonight: Snapshot, rules: Rules) -> Expiry:
    """What expires once `tonight` is published after `snapshots`, the newest of which records the rules of its night.

    If it does not (an older version made it), they are assumed to be the same. The ages do not show whether rules have
    changed: each expiry changes the usual gap.
    """
    there = [tonight, *snapshots]
    before = Rules.from_note(*snapshots[0].rules, snapshots[0].keep) if snapshots and snapshots[0].rules else rules
    going = expired(there, rules)
    usual = {one.snapshot.id for one in expired(there, before)}
    shorter = sum(one.snapshot.id not in usual for one in going)
    return Expiry(going, shorter + (len(going) > shorter))


def by_age_alone(snapshots: Sequence[Snapshot], rules: Rules) -> int:
    """The number that would expire if their age did not count."""
    return len(expired(snapshots, replace(rules, days=0))) - len(expired(snapshots, rules))


def _gone(rules: Rules) -> list[str]:
    text = f"older than the last {rules.last}"
    if rules.days:
        text += f", and than {days(rules.days)}"
    names = sorted(set(rules.noted()) - {"good"})
    others = [name if name in ("cycle", "hanoi") else f"keep_{name}" for name in names]
    return [f"{text}; not kept by {', '.join(others)}" if others else text]


__all__ = ["Cycle", "Decision", "Expiry", "Hanoi", "Rules", "by_age_alone", "decide", "expired", "expiry"]
