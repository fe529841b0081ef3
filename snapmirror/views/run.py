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
        "refusals": [_refusal(one) for one in planned.refusals],
        "expires": _expires(planned.expiry),
        "changes": [{"change": what, **json_name(path)} for what, path in planned.plan.changes()],
    }


def expiring(mirror: str, expiry: Expiry, refusal: SnapmirrorError | None) -> dict[str, Any]:
    """What the next snapshot of a mirror lets expire: `plan --retention`."""
    refusals = [_refusal(refusal)] if refusal is not None else []
    return {"mirror": mirror, "refusals": refusals, "expires": _expires(expiry)}


def _refusal(error: SnapmirrorError) -> dict[str, Any]:
    return {"error": harmless(error.message), "hint": harmless(error.hint), "exit_code": error.exit_code}


def _expires(expiry: Expiry) -> list[dict[str, str]]:
    return [{"snapshot": one.snapshot.id, "reason": one.reason} for one in expiry.decisions]
