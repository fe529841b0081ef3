"""The measurements as a table: medians, ratios pair by pair, and the targets of the issue, reached or not.

No programs. A ratio is taken night by night between two runs on the same changes, and then the median of those.
MB are 10^6 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

Samples = list[dict[str, float]]
"""One way's measured nights, oldest first, each as the fields of measure.Sample."""


@dataclass(frozen=True)
class Target:
    """One line of the issue: the field may be at most `limit` times that of `versus`, or `limit` MB."""

    field: str
    limit: float
    versus: str | None = None

    def words(self) -> str:
        what = {"seconds": "time", "synced": "time with sync", "own": "peak memory of our process"}
        return f"{what.get(self.field, self.field)} ≤ " + (
            f"{self.limit:g} × {self.versus}" if self.versus else f"{self.limit:g} MB"
        )


def targets(parameters: dict[str, Any]) -> list[Target]:
    """Those that hold for a benchmark with these parameters."""
    memory = Target("own", 300 if parameters["files"] >= 1_000_000 else 150)
    if parameters["slow_iops"]:
        return [Target("synced", 1.0, "bare"), Target("synced", 0.35, "rotation"), memory]
    return [
        Target("seconds", 0.8, "bare"),
        Target("synced", 0.8, "bare"),
        Target("seconds", 0.45, "rsnapshot"),
        Target("synced", 0.45, "rsnapshot"),
        Target("read", 0.5, "bare"),
        Target("written", 0.2, "rsnapshot"),
        memory,
    ]


def ratio(samples: Samples, others: Samples, field: str) -> float | None:
    """Median of the nights' ratios."""
    ratios = [mine[field] / theirs[field] for mine, theirs in zip(samples, others, strict=False) if theirs[field]]
    return median(ratios) if ratios else None


_SECONDS = ("seconds", "synced", "cpu")
_HEADS = {
    "seconds": "time s",
    "synced": "with sync s",
    "cpu": "CPU s",
    "read": "read MB",
    "written": "written MB",
    "own": "itself MB",
    "largest": "largest MB",
}


def rows(results: dict[str, Samples]) -> list[list[str]]:
    """The table with its head: medians, then the ratios of time with sync, read and written to the two yardsticks."""
    yardsticks = [name for name in ("bare", "rsnapshot", "rotation") if results.get(name)][:2]
    head = ["way", *_HEADS.values()]
    head += [f"{what} / {name}" for name in yardsticks for what in ("time", "sync", "read", "written")]
    body = [head]
    for name, samples in results.items():
        if not samples:
            continue
        row = [name]
        for field in _HEADS:
            middle = median(sample[field] for sample in samples)
            row.append(f"{middle:.1f}" if field in _SECONDS else _megabytes(middle))
        for yardstick in yardsticks:
            for field in ("seconds", "synced", "read", "written"):
                value = ratio(samples, results[yardstick], field)
                row.append("" if value is None or name == yardstick else f"{value:.2f}")
        body.append(row)
    return body


def verdicts(document: dict[str, Any], baseline: dict[str, Any] | None = None) -> list[str]:
    """Each target with its measured value and whether it was reached; nothing where it was not measured."""
    results: dict[str, Samples] = document["results"]
    mine = results.get("snapmirror") or []
    lines = []
    for target in targets(document["parameters"]):
        if target.versus is None:
            value = max((sample[target.field] for sample in mine), default=None)
            value = None if value is None else value / 1e6
        else:
            value = ratio(mine, results.get(target.versus) or [], target.field)
        if value is not None:
            lines.append(_verdict(target.words(), value, target.limit))
    before = (baseline or {}).get("results", {}).get("snapmirror") or []
    if mine and before and baseline:
        for field in ("read", "written"):
            value = median(s[field] for s in mine) / max(1, median(s[field] for s in before))
            words = f"{field} ≤ 1.2 × that of {baseline['parameters']['files']} files"
            lines.append(_verdict(words, value, 1.2))
    return lines


def markdown(body: list[list[str]]) -> str:
    """A table for tests/README.md."""
    head, *rest = body
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rest])


def plain(body: list[list[str]]) -> str:
    """The same for a terminal: heads broken at blanks, so that it fits."""
    head, *rest = body
    split = [cell.split(" ", 1) for cell in head]
    lines = [[words[0] for words in split], [words[1] if len(words) > 1 else "" for words in split], *rest]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _verdict(words: str, value: float, limit: float) -> str:
    return f"{'reached    ' if value <= limit else 'NOT reached'}  {words}: {value:.2f}"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.1f}" if value < 100e6 else f"{value / 1e6:.0f}"
