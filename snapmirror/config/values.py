"""The value types of the configuration: sizes, percentages, paths, names. Text in, plain Python values out.

Every parser raises ValueError with one sentence that says what to write instead; `load` puts the dotted path before it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, StrictBool, StrictInt, WithJsonSchema

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(iB|B)?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_DURATION = re.compile(r"(\d{1,12})\s*([smhdw])", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_LONGEST_SECONDS = 100 * 366 * 86_400
_LARGEST = 8191 << 50  # rsync takes no more
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_RESERVED = re.compile(r"by-date|backup\.\d+|lost\+found|\.snapmirror", re.IGNORECASE)
_LONGEST_NAME = 100
_POOL = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*")
_RESERVED_POOL = re.compile(r"(mirror|raidz|draid|spare|log).*|c[0-9].*")
_DATASET = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*(/[A-Za-z0-9_.:-]+)*")
_LONGEST_DATASET = 100  # of 255, which a mirror and a snapshot have to fit into as well


def parse_size(value: Any) -> int:
    """Bytes from 1024, "64M", "1.5G" or "2TiB" (powers of 1024), "10GB" (powers of 1000, as rsync reads it)."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("a size cannot be negative")
        return _limited(value)
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{_shown(value)} is not a size; write a number of bytes, or "64M", "150G", "2T"')
    number, letter, unit = match.groups()
    base = 1000 if (unit or "").upper() == "B" else 1024
    return _limited(int(Decimal(number) * base ** _POWERS[letter.upper()]))


def _limited(size: int) -> int:
    if size > _LARGEST:
        raise ValueError("this is larger than any file can be; at most 8191P")
    return size


def format_size(size: int) -> str:
    """The shortest exact way to write a size: 67108864 is "64M"."""
    for letter in ("P", "T", "G", "M", "K"):
        unit = 1024 ** _POWERS[letter]
        if size >= unit and size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)


def parse_fraction(value: Any) -> float:
    """0.3 from "30%"; a number from 0 to 1 is taken as it is."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            number = float(value.strip()[:-1])
        except ValueError:
            number = -1.0
        if 0 <= number < float("inf"):
            return number / 100
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError(f'{_shown(value)} is not a percentage; write "30%"')


def format_fraction(fraction: float) -> str:
    """0.3 is "30%"."""
    return f"{fraction * 100:g}%"


def parse_duration(value: Any) -> timedelta:
    """Ten minutes from "10m"; also "90s", "36h", "8d", "2w"."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    seconds = int(match[1]) * _SECONDS[match[2].lower()] if match else 0
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise ValueError(f'{_shown(value)} is not a duration; write "90s", "10m", "36h", "8d" or "2w"')
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """The shortest exact way to write a duration: an hour is "1h"."""
    seconds = int(duration.total_seconds())
    unit = next(letter for letter in "wdhms" if seconds % _SECONDS[letter] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def parse_absolute(value: Any) -> Path:
    """A path from the root, or from a home folder."""
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f'{_shown(value)} is not a path; write one in quotes, like "/srv/snapmirror"')
    if "\0" in str(value):
        raise ValueError("a path cannot hold a NUL character")
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{_shown(value)} names the home folder of a user that does not exist") from error
    if not path.is_absolute():
        raise ValueError(f"{_shown(value)} is a relative path; write it from the root, starting with /")
    if ".." in path.parts:
        raise ValueError(f"{_shown(value)} holds '..'; write the path without it")
    return path


def _mirror_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{_shown(value)} cannot be a folder name on every system; use letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit and not ending with '.'"
        )
    if _RESERVED.fullmatch(value):
        raise ValueError(f"{_shown(value)} is a name that snapmirror itself uses on the store; choose another")
    if len(value) > _LONGEST_NAME:
        raise ValueError(f"a name has at most {_LONGEST_NAME} characters")
    return value


def _pool_name(value: str) -> str:
    if not _POOL.fullmatch(value) or len(value) > _LONGEST_DATASET:
        raise ValueError(
            f"{_shown(value)} cannot be the name of a pool; begin with a letter, go on with a-z, 0-9, _ . -"
        )
    if _RESERVED_POOL.fullmatch(value):
        raise ValueError(f"{_shown(value)} is reserved by ZFS; choose another name")
    return value


def _dataset_name(value: str) -> str:
    if not _DATASET.fullmatch(value) or len(value) > _LONGEST_DATASET:
        raise ValueError(f'{_shown(value)} is not a dataset; write it like "tank/backup", without a / in front')
    return value


def _record_size(value: int) -> int:
    if value & (value - 1) or not 4096 <= value <= 1 << 20:
        raise ValueError("a record size is a power of two from 4K to 1M")
    return value


def _file_name(value: str) -> str:
    if not value or "/" in value or "\0" in value or value in {".", ".."}:
        raise ValueError(f'{_shown(value)} is not a file name; write one without "/", like ".nobackup"')
    return value


def check_file_pattern(value: str) -> str:
    """A pattern of files below a folder; raises ValueError for one that leads out of it."""
    if value.startswith(("/", "~")) or ".." in value.split("/"):
        raise ValueError(
            f"{_shown(value)} leads out of the folder of the configuration; write a pattern below it, like "
            '"conf.d/*.toml"'
        )
    return _text(value)


def _text(value: str) -> str:
    if not value:
        raise ValueError("an empty text has no meaning here; leave the key out instead")
    if "\0" in value or "\n" in value:
        raise ValueError("the text cannot hold a NUL or a line break")
    return value


def _shown(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str | Path) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


_SIZE_SCHEMA = {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?\s*[KMGTPkmgtp]?(i?[bB])?$", "minimum": 0}

Bool = StrictBool
Days = Annotated[StrictInt, Field(ge=1, le=100_000)]  # more would be before the calendar began
DaysOrNone = Annotated[StrictInt, Field(ge=0, le=100_000)]
Count = Annotated[StrictInt, Field(ge=0)]
Positive = Annotated[StrictInt, Field(ge=1, le=2**31 - 1)]
Seconds = Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]  # as rsync takes them
Port = Annotated[StrictInt, Field(ge=1, le=65535)]
Size = Annotated[int, BeforeValidator(parse_size), WithJsonSchema(_SIZE_SCHEMA)]
OptionalSize = Annotated[
    int | None, BeforeValidator(lambda value: None if value == "" else parse_size(value)), WithJsonSchema(_SIZE_SCHEMA)
]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d{1,12}\s*[smhdwSMHDW]\s*$"}),
]
Fraction = Annotated[
    float, BeforeValidator(parse_fraction), WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?%$"})
]
AbsolutePath = Annotated[
    Path, BeforeValidator(parse_absolute), WithJsonSchema({"type": "string", "format": "path", "pattern": "^[/~]"})
]
Text = Annotated[str, AfterValidator(_text)]
FilePattern = Annotated[str, AfterValidator(check_file_pattern)]
FileName = Annotated[str, AfterValidator(_file_name)]
MirrorName = Annotated[str, AfterValidator(_mirror_name)]
PoolName = Annotated[str, AfterValidator(_pool_name)]
DatasetName = Annotated[str, AfterValidator(_dataset_name)]
RecordSize = Annotated[int, BeforeValidator(parse_size), AfterValidator(_record_size), WithJsonSchema(_SIZE_SCHEMA)]
