"""A length of time by the calendar."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime, timedelta

from msgspec import Struct

_SPAN = re.compile(r"(?:(\d{1,3})y)?(?:(\d{1,4})m)?(?:(\d{1,5})w)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?")


class Span(Struct, frozen=True):
    """A length of time by the calendar: years, months, weeks, days, hours; written "48h", "30d" or "1y2m"."""

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, text: str) -> Span:
        """Raises ValueError with a sentence that says what to write."""
        match = _SPAN.fullmatch(text.strip())
        span = cls(*(int(part or 0) for part in match.groups())) if match is not None else cls()
        if span == cls():
            raise ValueError(f'"{text}" is not a length of time; write "48h", "30d", "8w", "6m" or "1y2m"')
        return span

    def before(self, when: datetime) -> datetime:
        """The time so long before, by the calendar of `when`'s time zone; the 31st may become the 28th.

        Raises OverflowError if that is before the year 1.
        """
        month = when.year * 12 + when.month - 1 - self.years * 12 - self.months
        if month < 12:
            raise OverflowError("before the year 1")
        year, month = month // 12, month % 12 + 1
        day = min(when.day, monthrange(year, month)[1])
        moved = when.replace(year=year, month=month, day=day) - timedelta(weeks=self.weeks, days=self.days)
        return moved - timedelta(hours=self.hours)

    def __str__(self) -> str:
        parts = ((self.years, "y"), (self.months, "m"), (self.weeks, "w"), (self.days, "d"), (self.hours, "h"))
        return "".join(f"{number}{unit}" for number, unit in parts if number)
