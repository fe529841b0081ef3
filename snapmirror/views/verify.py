"""`verify --json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from snapmirror.text import harmless
from snapmirror.views.fields import json_name

if TYPE_CHECKING:
    from snapmirror.errors import ExitCode
    from snapmirror.snapshots.verify import Depth, Finding, Report

VERSION = 1


def verify(reports: list[Report], depth: Depth, code: ExitCode, scrub: Sequence[str] | None) -> dict[str, Any]:
    """A verification; `scrub`: the findings of the pool's scrub, if there was one."""
    return {
        "exit_code": int(code),
        "share": depth.share,
        "seed": depth.seed if 0 < depth.share < 1 else None,
        "mirrors": [
            {
                "mirror": report.mirror,
                "snapshots": report.snapshots,
                "names": report.names,
                "files_read": report.files_read,
                "bytes_read": report.bytes_read,
                "findings": [_finding(finding) for finding in report.findings],
                "findings_left_out": report.left_out,
                "unchecked": report.unchecked,
            }
            for report in reports
        ],
        **({} if scrub is None else {"scrub": list(scrub)}),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    fields: dict[str, Any] = {"kind": finding.kind}
    if finding.path is not None:
        fields |= json_name(finding.path)
    fields |= {"detail": harmless(finding.detail), "below": finding.below, "snapshots": finding.snapshots}
    tried = finding.healed is not None or finding.not_healed is not None
    answers = {"healed": finding.healed, "not_healed": finding.not_healed} if tried else {}
    return {**fields, **{name: text and harmless(text) for name, text in answers.items()}}
