"""Read a configuration file and say all that is wrong with it at once, each problem as `dotted.path: sentence`."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from snapmirror.config.checks import cross_checks
from snapmirror.config.schema import Config, ZfsConfig
from snapmirror.config.section import Section
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
_SAMPLE_HINT = "'snapmirror config sample' prints a configuration to start from"


def load(path: Path) -> Config:
    """The configuration in `path`. Raises ConfigError with all its problems."""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # Windows' editors put a mark before it
    except FileNotFoundError:
        raise ConfigError(f"the configuration {path} does not exist", hint=_SAMPLE_HINT) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"the configuration {path} is not UTF-8 text (line {line})", hint="save it as UTF-8"
        ) from None
    except PermissionError:
        raise ConfigError(
            f"the configuration {path} cannot be read by this user", hint="run as the user who owns it, or with sudo"
        ) from None
    except OSError as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error.strerror}") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"the configuration {path} is not valid TOML: {error}", hint='texts and paths stand in "quotes"'
        ) from None
    except RecursionError:
        raise ConfigError(f"the configuration {path} is nested too deeply") from None
    return parse(data, str(path))


def parse(data: Mapping[str, Any], origin: str = "") -> Config:
    """A configuration from tables that are already read, checked as `load` checks a file."""
    problems: dict[Location, str] = {}
    config = None
    data = placed(data)
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            place = tuple(part for part in detail["loc"] if part != "[key]")  # how pydantic marks a name in a table
            if detail["type"] == "too_short" and any(
                len(p) > len(place) and p[: len(place)] == place for p in problems
            ):
                continue  # pydantic counts the valid entries only
            problems.setdefault(place, _sentence(detail, place))
    for place, problem in cross_checks(data):
        problems.setdefault(place, problem)
    if config is not None and not problems:
        return _completed(config)
    lines = tuple(_plain(f"{_dotted(place, data)}: {problem}") for place, problem in problems.items())
    name = f"the configuration {origin}" if origin else "the configuration"
    if len(lines) == 1:
        raise ConfigError(f"{name}: {lines[0]}", problems=lines)
    raise ConfigError("\n  ".join((f"{name} has {len(lines)} problems:", *lines)), problems=lines)


def _completed(config: Config) -> Config:
    """With what one section means for another written out, so that nobody else need know."""
    if config.store.backend != "zfs":
        return config
    image = config.image and config.image.model_copy(update={"filesystem": "zfs"})
    return config.model_copy(update={"image": image, "zfs": config.zfs or ZfsConfig()})


def _dotted(place: Location, data: Mapping[str, Any]) -> str:
    """("mirror", 0, "source") is mirror.web1.source; a mirror without a usable name is counted: mirror[1].source."""
    parts = list(place)
    if len(parts) >= 2 and parts[0] == "mirror" and isinstance(parts[1], int):
        entries = data.get("mirror")
        names = [e.get("name") if isinstance(e, dict) else None for e in entries] if isinstance(entries, list) else []
        name = names[parts[1]] if parts[1] < len(names) else None
        usable = isinstance(name, str) and re.fullmatch(r"[\w.-]+", name) is not None and names.count(name) == 1
        head = f"mirror.{name}" if usable else f"mirror[{parts[1] + 1}]"
        parts[:2] = [head]
    text = ""
    for part in parts:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _plain(text: str) -> str:
    """Without anything that could steer a terminal."""
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
    for section, other in _sections():
        if key in _keys(other):
            return f"unknown key here; it belongs into {section}"
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
        if inner is not None:
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


def section_of(annotation: Any) -> type[Section] | None:
    """The section in an annotation: itself, or inside a tuple or an optional."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_of(part))), None)
