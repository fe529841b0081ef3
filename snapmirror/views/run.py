"""`run --json`, and `plan --json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapmirror.text import harmless
from snapmirror.views.fields import json_name

if TYPE_CHECKING:
    from snapmirror.errors import SnapmirrorError
    from snapmirror.night.planning import Planned
    from snapmirror.snapshots.retention import Expiry
    from snapmirror.state.report import RunReport

VERSION = 1


def run(report: RunReport) -> dict[str, object]:
    """A run; its report files hold the same."""
    return report.as_json()


def failed_run(error: SnapmirrorError) -> dict[str, Any]:
    """A run that ended early: a reader of JSON gets JSON whatever happens."""
    fields = {"error": harmless(error.message), "hint": harmless(error.hint)}
    return {"exit_code": int(error.exit_code), "mirrors": [], "warnings": [], **fields}


def plan(mirror: str, planned: Planned) -> dict[str, Any]:
    """What a run would do for a mirror, name by name."""
    return {
        "mirror": mirror,
        **planned.plan.counts,
        "entries": planned.plan.totals.entries,
        "full": planned.full,
        "warnings": [*planned.warnings, *planned.complaints],
        "refusals": [
            {"error": harmless(one.message), "hint": harmless(one.hint), "exit_code": one.exit_code}
            for one in planned.refusals
        ],
        "expires": expires(planned.expiry),
        "changes": [{"change": what, **json_name(path)} for what, path in planned.plan.changes()],
    }


def expires(expiry: Expiry) -> list[dict[str, str]]:
    """The snapshots that will expire, each with its reason."""
    return [{"snapshot": one.snapshot.id, "reason": one.reason} for one in expiry.decisions]
