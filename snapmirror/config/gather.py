"""The files of a configuration: the main one, and those that its `include` names, as one set of tables.

An included file holds [[mirror]] sections only: what belongs to the store is in the main file, where people look.
"""

from __future__ import annotations

import glob
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from snapmirror.config.schema import MirrorOptions
from snapmirror.config.section import section_of
from snapmirror.config.share import Table
from snapmirror.config.values import check_file_pattern
from snapmirror.errors import ConfigError

SAMPLE_HINT = "'snapmirror config sample' prints a configuration to start from"
_TABLES = tuple(name for name, option in MirrorOptions.model_fields.items() if section_of(option.annotation))


class Remark(Struct, frozen=True):
    """Something valid that is likely not what was meant, and how to mend it."""

    message: str
    mend: str


class Gathered(Struct):
    """The tables of all files. `origins` holds, for each mirror, its file and its number in that file."""

    data: dict[str, Any]
    files: list[Path]
    origins: list[tuple[Path, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


def gather(path: Path) -> Gathered:
    """What `path` and the files that it includes hold.

    Problems of an included file are added to `problems`. Raises ConfigError where `path` itself cannot be read.
    """
    text, data = _read(path, "the configuration ")
    found = Gathered(data, [path])
    mirrors = data.get("mirror", [])
    if not isinstance(mirrors, list):
        return found  # reported where all values are checked
    found.origins += ((path, index) for index in range(len(mirrors)))
    found.remarks += [*_misplaced(path, text, data, data), *_patterns_of_rsync(path.parent, data)]
    for file in _included(path, found):
        try:
            text, tables = _read(file, "")
        except ConfigError as error:
            found.problems.append(f"include: {error.message}")
            continue
        found.files.append(file)
        more = tables.pop("mirror", [])
        if not isinstance(more, list):
            found.problems.append(f"include: in {file}, mirror is a list of sections; write [[mirror]]")
            continue
        found.problems += (
            f"include: {file} holds {key}; an included file holds [[mirror]] sections only" for key in tables
        )
        found.remarks += _misplaced(file, text, {"mirror": more}, data)
        found.origins += ((file, index) for index in range(len(more)))
        mirrors = [*mirrors, *more]
    if len(found.files) > 1:
        found.data = {**data, "mirror": mirrors}
    return found


def _read(path: Path, name: str) -> tuple[str, dict[str, Any]]:
    try:
        if not name and path.exists() and not path.is_file():  # reading a pipe would wait for its writer
            raise ConfigError(f"{path} is not a file", hint="include names files")
        text = path.read_bytes().decode("utf-8-sig")  # Windows' editors put a mark before it
    except FileNotFoundError:
        raise ConfigError(f"{name}{path} does not exist", hint=SAMPLE_HINT) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{name}{path} is not UTF-8 text (line {line})", hint="save it as UTF-8") from None
    except PermissionError:
        raise ConfigError(
            f"{name}{path} cannot be read by this user", hint="run as the user who owns it, or with sudo"
        ) from None
    except OSError as error:
        raise ConfigError(f"{name}{path} cannot be read: {error.strerror}") from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{name}{path} is not valid TOML: {error}", hint='texts and paths stand in "quotes"'
        ) from None
    except RecursionError:
        raise ConfigError(f"{name}{path} is nested too deeply") from None


def _included(path: Path, found: Gathered) -> Iterator[Path]:
    """Each file once, those of a pattern in sorted order, without the file that includes them."""
    patterns = found.data.get("include")
    seen = {os.path.realpath(path)}
    for pattern in patterns if isinstance(patterns, list) else ():
        if not _is_usable(pattern):
            continue  # reported where all values are checked
        names = _matches(path.parent, pattern)
        if not names and not glob.has_magic(pattern):
            found.problems.append(f"include: {path.parent / pattern} does not exist")
        elif not names and (folder := _closed(path.parent, pattern)) is not None:
            found.problems.append(f"include: {folder} cannot be read by this user")
        elif not names:
            found.remarks.append(
                Remark(f'include: "{pattern}" matches no file in {path.parent}', "mend the pattern, or take it out")
            )
        for name in names:
            if (real := os.path.realpath(path.parent / name)) not in seen:
                seen.add(real)
                yield path.parent / name


def _is_usable(pattern: object) -> bool:
    try:
        return isinstance(pattern, str) and bool(check_file_pattern(pattern))
    except ValueError:
        return False


def _matches(folder: Path, pattern: str) -> list[str]:
    """Like `Path.glob`, but without hidden files, such as those that an editor leaves beside the file it changes."""
    return sorted(glob.glob(pattern, root_dir=folder), key=os.fsencode)  # noqa: PTH207


def _closed(folder: Path, pattern: str) -> Path | None:
    """The folder of a pattern if this user cannot read it: then nothing matches, whatever is in it."""
    fixed = folder
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed /= part
    try:
        os.scandir(fixed).close()
    except PermissionError:
        return fixed
    except OSError:
        return None
    return None


def _misplaced(path: Path, text: str, tables: Table, main: Table) -> Iterator[Remark]:
    """A table under its own heading that belongs only to a file's last mirror, but looks as if it were for all."""
    mirrors = [mirror for mirror in tables.get("mirror", []) if isinstance(mirror, dict)]
    defaults = main.get("defaults")
    for table in _TABLES:
        if len(mirrors) < 2 or (isinstance(defaults, dict) and table in defaults):
            continue
        headed = re.search(rf"^[ \t]*\[[ \t]*mirror[ \t]*\.[ \t]*{table}[ \t]*\]", text, re.MULTILINE)
        if headed and [table in mirror for mirror in mirrors] == [False] * (len(mirrors) - 1) + [True]:
            last = mirrors[-1].get("name")
            yield Remark(
                f"[mirror.{table}] in {path} belongs to the mirror {last} alone, the last of {len(mirrors)}; the "
                "others use the defaults",
                f"for all of them write [defaults.{table}] in the main file; if only {last} is meant, write "
                f"{table} = {{ … }} in its section",
            )


def _patterns_of_rsync(folder: Path, data: Table) -> Iterator[Remark]:
    """`include` below a [[mirror]] heading belongs to that mirror and holds patterns of rsync."""
    for table in [data.get("defaults"), *data.get("mirror", [])]:
        patterns = table.get("include") if isinstance(table, dict) else None
        for pattern in patterns if isinstance(patterns, list) else ():
            if _is_usable(pattern) and pattern.endswith(".toml") and _matches(folder, pattern):
                yield Remark(
                    f'include = ["{pattern}"] stands in a mirror\'s section, where it holds patterns of rsync',
                    "to read more files of the configuration, write it before the first section",
                )
