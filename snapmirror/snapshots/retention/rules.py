"""The rules of retention as values. A snapshot stays if any rule wants it."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict

from snapmirror.config import RetentionConfig
from snapmirror.span import Span


class Hanoi(Struct, frozen=True):
    """Number n (counted from the first snapshot) goes on the disc whose place is the number of times that 2 divides n,
    at most the last one of `discs`; each disc holds its newest snapshot. So ages double from disc to disc.

    `archive`: the last disc keeps all.
    """

    discs: int
    archive: bool = False

    def disc(self, number: int) -> int:
        """The disc of a snapshot, from 0."""
        return min((number & -number).bit_length() - 1, self.discs - 1)


class Cycle(Struct, frozen=True):
    """Snapshots in groups of 1 + `diffs`, of which the last `fulls` groups are kept; a group expires as a whole."""

    fulls: int
    diffs: int

    def group(self, number: int) -> int:
        """The group of a snapshot, from 0."""
        return (number - 1) // (self.diffs + 1)


class Rules(Struct, frozen=True):
    """What is kept: the newest `last` snapshots; all that are younger than `days`, or `within`; the newest one of each
    of the last so many hours, days, weeks, months and years that have one; never fewer than the newest `good` ones that
    are complete; by `hanoi` and by `cycle`. 0 or None: the rule does not vote.
    """

    last: int
    days: int = 0
    within: Span | None = None
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    good: int = 1
    hanoi: Hanoi | None = None
    cycle: Cycle | None = None

    @classmethod
    def of(cls, keep: RetentionConfig) -> Rules:
        """Those of a configuration."""
        return cls(
            keep.keep_last, keep.keep_at_least_days, keep.keep_within, keep.keep_hourly, keep.keep_daily,
            keep.keep_weekly, keep.keep_monthly, keep.keep_yearly, keep.keep_good,
            hanoi=Hanoi(keep.hanoi.discs, keep.hanoi.archive_oldest) if keep.hanoi is not None else None,
            cycle=Cycle(keep.cycle.fulls, keep.cycle.diffs) if keep.cycle is not None else None,
        )  # fmt: skip

    def noted(self) -> dict[str, str]:
        """The rules beside `last` and `days` as short texts, for a record."""
        texts = {name: _text(value) for name, value in asdict(self).items() if name not in ("last", "days")}
        usual = {name: _text(value) for name, value in asdict(Rules(1)).items()}
        return {name: text for name, text in texts.items() if text != usual[name]}

    @classmethod
    def from_note(cls, last: int, days: int, note: dict[str, str]) -> Rules:
        """The rules of a record; what it does not understand, as of a newer version, does not vote."""
        rules: dict[str, int | Span | Hanoi | Cycle] = {}
        for name, text in note.items():
            try:
                if name in ("hourly", "daily", "weekly", "monthly", "yearly", "good"):
                    rules[name] = int(text)
                elif name == "within":
                    rules[name] = Span.parse(text)
                elif name == "hanoi":
                    discs, archive = text.split(" ")
                    rules[name] = Hanoi(int(discs), archive == "archive")
                elif name == "cycle":
                    fulls, diffs = text.split(" ")
                    rules[name] = Cycle(int(fulls), int(diffs))
            except ValueError:
                continue
        return cls(last, days, **rules)  # type: ignore[arg-type]


def _text(value: object) -> str:
    if isinstance(value, Hanoi):
        return f"{value.discs} {'archive' if value.archive else 'newest'}"
    if isinstance(value, Cycle):
        return f"{value.fulls} {value.diffs}"
    return "" if value is None else str(value)
