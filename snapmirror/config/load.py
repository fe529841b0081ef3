"""Read a configuration and say all that is wrong with it at once, each problem as `dotted.path: sentence`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from snapmirror.config.checks import cross_checks
from snapmirror.config.defaults import place_of, with_defaults
from snapmirror.config.gather import Gathered, Remark, gather
from snapmirror.config.schema import Config, ZfsConfig
from snapmirror.config.section import section_of
from snapmirror.config.share import Location, placed
from snapmirror.errors import ConfigError

_EXPECTED = {
    "bool_type": "true or false (without quotes)",
    "int_type": "a whole number (without quotes)",
    "string_type": 'a text in "quotes"',
    "tuple_type": 'a list, like ["one", "two"]',
    "model_type": "a section",
    "too_short": "enough; give at least one entry",
}


class Loaded(Struct, frozen=True):
    """A configuration, the files that it was read from, and remarks on what is likely not meant."""

    config: Config
    files: tuple[Path, ...]
    remarks: tuple[Remark, ...]


def load(path: Path) -> Config:
    """The configuration in `path`. Raises ConfigError with all its problems."""
    return look(path).config


def look(path: Path) -> Loaded:
    """The configuration in `path` and the files that it includes, with remarks. Raises ConfigError as `load` does."""
    gathered = gather(path)
    config = _parse(gathered.data, str(path), gathered)
    return Loaded(config, tuple(gathered.files), tuple(gathered.remarks))


def parse(data: Mapping[str, Any], origin: str = "") -> Config:
    """A configuration from tables that are already read, checked as `load` checks a file; `include` is not followed."""
    return _parse(data, origin, Gathered(dict(data), []))


def _parse(data: Mapping[str, Any], origin: str, gathered: Gathered) -> Config:
    problems: dict[Location, str] = {}
    config = None
    given = placed(data)
    data = with_defaults(dict(given))
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        places: set[Location] = set()
        for detail in error.errors(include_url=False):
            place = tuple(part for part in detail["loc"] if part != "[key]")  # how pydantic marks a name in a table
            if detail["type"] == "too_short" and any(len(p) > len(place) and p[: len(place)] == place for p in places):
                continue  # pydantic counts the valid entries only
            places.add(place)
            place = place_of(place, given)
            problems.setdefault(place, _sentence(detail, place))
    for place, problem in cross_checks(data):
        problems.setdefault(place_of(place, given), problem)
    if ("mirror",) in problems and gathered.problems:
        del problems["mirror",]  # they may be in a file that cannot be read
    if config is not None and not problems and not gathered.problems:
        return _completed(config)
    lines = tuple(
        _plain(line)
        for line in (
            *gathered.problems,
            *(f"{_dotted(at, data, gathered)}: {what}{_file(at, gathered)}" for at, what in problems.items()),
            *(remark.message for remark in gathered.remarks if ("mirror",) in problems),
        )
    )
    name = f"the configuration {origin}" if origin else "the configuration"
    if len(lines) == 1:
        raise ConfigError(f"{name}: {lines[0]}", problems=lines)
    raise ConfigError("\n  ".join((f"{name} has {len(lines)} problems:", *lines)), problems=lines)


def _completed(config: Config) -> Config:
    """With the options that follow from another section filled in, so that no other module needs to know."""
    if config.store.backend != "zfs":
        return config
    image = config.image and config.image.model_copy(update={"filesystem": "zfs"})
    return config.model_copy(update={"image": image, "zfs": config.zfs or ZfsConfig()})


def _dotted(place: Location, data: Mapping[str, Any], gathered: Gathered) -> str:
    """("mirror", 0, "source") is mirror.web1.source; a mirror without a usable name is numbered: mirror[1].source."""
    parts = list(place)
    if len(parts) >= 2 and parts[0] == "mirror" and isinstance(parts[1], int):
        entries = data.get("mirror")
        names = [e.get("name") if isinstance(e, dict) else None for e in entries] if isinstance(entries, list) else []
        name = names[parts[1]] if parts[1] < len(names) else None
        usable = isinstance(name, str) and re.fullmatch(r"[\w.-]+", name) is not None and names.count(name) == 1
        number = gathered.origins[parts[1]][1] if parts[1] < len(gathered.origins) else parts[1]
        head = f"mirror.{name}" if usable else f"mirror[{number + 1}]"
        parts[:2] = [head]
    text = ""
    for part in parts:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _file(place: Location, gathered: Gathered) -> str:
    """The included file that a mirror stands in, for the end of a sentence."""
    if len(place) < 2 or place[0] != "mirror" or not isinstance(place[1], int) or place[1] >= len(gathered.origins):
        return ""
    file = gathered.origins[place[1]][0]
    return f" (in {file})" if file != gathered.files[0] else ""


def _plain(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _sentence(detail: ErrorDetails, place: Location) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    model = _model_at(place[:-1])
    key = str(place[-1]) if place else ""
    if kind == "extra_forbidden":
        return _unknown(key, model)
    if kind == "missing":
        return _missing(key, model)
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    if kind == "literal_error":
        return f"{_value(detail)} is not one of {str(context['expected']).replace(chr(39), chr(34))}"
    if place == ("mirror",):
        return "is a list of sections; write [[mirror]] with two brackets, at least once"
    if kind in _EXPECTED:
        return f"{_value(detail)} is not {_EXPECTED[kind]}"
    if kind == "greater_than_equal":
        return f"{_value(detail)} is too small; at least {context['ge']}"
    if kind == "less_than_equal":
        return f"{_value(detail)} is too large; at most {context['le']}"
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _unknown(key: str, model: type[BaseModel] | None) -> str:
    known = list(_keys(model))
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"unknown key; did you mean {close[0]}?"
    if key == "include":
        return "unknown key here; write it before the first section, or in [[mirror]] for patterns of rsync"
    for section, other in _sections():
        if key in _keys(other):
            return f"unknown key here; it belongs in {section}"
    everywhere = {name: section for section, other in _sections() for name in _keys(other)}
    close = difflib.get_close_matches(key, everywhere, n=1, cutoff=0.8)
    if close:
        return f"unknown key; did you mean {close[0]} in {everywhere[close[0]]}?"
    return f"unknown key; known are {', '.join(known)}" if known else "unknown key"


def _missing(key: str, model: type[BaseModel] | None) -> str:
    if key == "mirror":
        return "is missing; nothing would be mirrored without a [[mirror]] section"
    for name, field in (model.model_fields if model else {}).items():
        if name == key and field.examples:
            example = field.examples[0]
            return f"is missing; for example {key} = " + (f'"{example}"' if isinstance(example, str) else str(example))
    return "is missing"


def _value(detail: ErrorDetails) -> str:
    value = detail["input"]
    text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _keys(model: type[BaseModel] | None) -> Iterator[str]:
    for name, field in (model.model_fields if model else {}).items():
        yield field.alias or name


def _sections(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section with its TOML heading."""
    for name, field in model.model_fields.items():
        inner = section_of(field.annotation)
        if inner is not None and name != "defaults":  # it has the keys of the mirrors
            path = f"{prefix}{field.alias or name}"
            yield (f"[[{path}]]" if path == "mirror" else f"[{path}]"), inner
            yield from _sections(inner, f"{path}.")


def _model_at(location: Location) -> type[BaseModel] | None:
    """The section that a location points at."""
    model: type[BaseModel] = Config
    for part in location:
        if isinstance(part, int):
            continue
        inner = next((f.annotation for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        found = section_of(inner)
        if found is None:
            return None
        model = found
    return model
