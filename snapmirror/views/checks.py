"""`doctor --json`, `host check --json` and `host prepare --json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from snapmirror.check import Check, verdict

if TYPE_CHECKING:
    from snapmirror.errors import ExitCode
    from snapmirror.windows.facts import Facts
    from snapmirror.windows.prepare import Step

VERSION = 1
_FIELDS = ("level", "topic", "message", "mend")


def doctor(checks: Sequence[Check]) -> dict[str, Any]:
    """Findings, line by line, and their result together."""
    lines = [{name: getattr(line, name) for name in _FIELDS} for line in checks]
    return {"exit_code": int(verdict(checks)), "checks": lines}


def host(checks: Sequence[Check], facts: Facts) -> dict[str, Any]:
    """The same for the Windows host, with the facts behind them."""
    return {**doctor(checks), "facts": asdict(facts)}


def prepared(steps: Sequence[Step], code: ExitCode) -> dict[str, Any]:
    """The steps that were done on the Windows host, or would be."""
    return {"exit_code": int(code), "steps": [asdict(step) for step in steps]}
