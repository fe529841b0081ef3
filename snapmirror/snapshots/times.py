"""Times of files, all 64 bits of seconds: as rsync prints them, as manifests hold them, as a disk stores them.

rsync prints `2026/11/20-03:00:00` in 19 characters at most. With more than four digits in the year the end is cut off,
the sign of a year before 1000 is lost, and beyond some two billion years it prints `(time-out-of-range)`. A manifest
holds the whole text, as on the disk: `33658/09/27-01:46:40`, `-0044/03/15-12:00:00`.

A file system can store only some times: the kernel gives a file the nearest one.
"""

from __future__ import annotations

import calendar
import os
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

_TIME = re.compile(rb"(-*)([0-9]{1,12})/([0-9]{2})/([0-9]{2})-?([0-9]{0,2})(?::([0-9]{0,2})(?::([0-9]{0,2}))?)?")
_OUT_OF_RANGE = b"(time-out-of-range)"
_PRINTED = 19
_INT32, _DAY = 1 << 31, 86400
_SECOND = 1_000_000_000
FIRST, LAST = -1 << 63, (1 << 63) - 1
# XFS and ext4 with small inodes; NFS 3; ext4; XFS with bigtime
_LATEST = (_INT32 - 1, 2 * _INT32 - 1, 15_032_385_535, 16_299_260_424)
_EARLIEST = (-_INT32, 0)


def is_usual(text: bytes) -> bool:
    """Whether it is between 1970 and 2037: every file system can store that, and rsync prints it whole."""
    return text[4:5] == b"/" and b"1970" <= text[:4] <= b"2037"


def parse(text: bytes) -> int:
    """Seconds since 1970; for an incomplete text the first time that it may mean. Raises ValueError."""
    if text == _OUT_OF_RANGE:
        return LAST
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("not a time")
    sign, digits, month, day, *clock = match.groups()
    year = -int(digits) if sign and len(sign + digits) > 4 else int(digits)
    hour, minute, second = (int((part or b"0").ljust(2, b"0")) for part in clock)
    if not (1 <= int(month) <= 12 and hour < 24 and minute < 60 and second <= 60):
        raise ValueError("not a time")
    if not 1 <= int(day) <= calendar.monthrange(2000 + year % 400, int(month))[1]:
        raise ValueError("not a day")
    seconds = _days(year, int(month), int(day)) * _DAY + hour * 3600 + minute * 60 + second
    if not FIRST <= seconds <= LAST:
        raise ValueError("not a time of 64 bits")
    return seconds


def printed(seconds: int) -> bytes:
    """As rsync 3.5.0 prints it."""
    year, rest = _taken_apart(seconds)
    if not -_INT32 <= year - 1900 < _INT32:
        return _OUT_OF_RANGE
    year = (year + _INT32) % (2 * _INT32) - _INT32
    return f"{year:4d}{rest}"[:_PRINTED].replace(" ", "-").encode()


def written(seconds: int) -> bytes:
    """As a manifest holds it: whole."""
    year, rest = _taken_apart(seconds)
    return (f"{year:04d}{rest}" if year >= 0 else f"-{-year:04d}{rest}").encode()


def shown(seconds: int) -> str:
    """For people, in UTC, also where Python's datetime ends: `33658-09-27 01:46:40`."""
    return written(seconds).decode().replace("/", "-")[::-1].replace("-", " ", 1)[::-1]


def iso(seconds: int) -> str:
    """ISO 8601, in UTC; years beyond its basic range have a sign and six digits or more, as in JavaScript."""
    year, rest = _taken_apart(seconds)
    head = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+07d}"
    return f"{head}{rest.replace('/', '-', 2)[:6]}T{rest[7:]}Z"


IsNearest = Callable[[bytes, int], bool]
"""Whether a time is the nearest that a file system has for one that it cannot store: see `is_nearest`."""


def is_nearest(text: bytes, seconds: int) -> bool:
    """Whether it is the nearest that some file system has for a time that it cannot store. Raises ValueError."""
    if text == _OUT_OF_RANGE:  # either end
        return seconds in _LATEST or seconds in _EARLIEST
    wanted = parse(text)
    return (wanted > seconds and seconds in _LATEST) or (wanted < seconds and seconds in _EARLIEST)


def fits(text: bytes, seconds: int, is_nearest: IsNearest = is_nearest) -> bool:
    """Whether the disk's time matches the `text` of a listing or a manifest. Raises ValueError."""
    if parse(text) == seconds:
        return True
    return not is_usual(text) and (printed(seconds) == text or is_nearest(text, seconds))


def _taken_apart(seconds: int) -> tuple[int, str]:
    """The year, and `/MM/DD-hh:mm:ss`."""
    days, clock = divmod(seconds, _DAY)
    eras, day = divmod(days + 719_468, 146_097)  # eras of 400 years that begin in March
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    date = day - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += eras * 400 + (month <= 2)
    return year, f"/{month:02d}/{date:02d}-{clock // 3600:02d}:{clock % 3600 // 60:02d}:{clock % 60:02d}"


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970."""
    year -= month <= 2
    eras, year = divmod(year, 400)
    march = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return eras * 146_097 + year * 365 + year // 4 - year // 100 + march - 719_468


class DiskTimes:
    """The times that the disk of an existing `folder` can store (ext4 with small inodes ends in 2038).

    A file without a name shows them. Where none can be made, the disk is taken to store all times.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def nearest(self, seconds: int) -> int:
        """The time (seconds since 1970) that a file gets that is given this one."""
        if self._file is None:
            return seconds
        os.utime(self._file, ns=(0, seconds * _SECOND))
        return os.fstat(self._file).st_mtime_ns // _SECOND

    def is_nearest(self, text: bytes, seconds: int) -> bool:
        """Whether `seconds` is the nearest time to `text`, which this disk cannot store. Raises ValueError.

        A file's real time may be the first or the last of the disk, too.
        """
        return is_nearest(text, seconds) and (self._ends is None or seconds in self._ends)

    def close(self) -> None:
        """Close the file that was tried on."""
        if (file := self.__dict__.pop("_file", None)) is not None:
            os.close(file)

    @cached_property
    def _ends(self) -> tuple[int, int] | None:
        """The first and the last time; None if that cannot be tried. No file stays open, as it keeps a disk busy."""
        try:
            return None if self._file is None else (self.nearest(FIRST), self.nearest(LAST))
        finally:
            self.close()

    @cached_property
    def _file(self) -> int | None:
        try:
            return os.open(self._folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
