"""The sample file and the JSON schema, made from the models.

The sample loads as it stands. Options that are required, or that most people set, are live lines; the others are
commented out and show the default, or an example where there is none. Sections that only some need are commented out.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from snapmirror.config.schema import Config, DefaultsConfig
from snapmirror.config.section import section_of

_INTRODUCTION = """\
The configuration of snapmirror (TOML). 'snapmirror config check' says what is wrong with it.
Lines that are commented out show the default, or an example where it says so.
Sizes: a number of bytes, or "64M", "150G", "2T". Durations: "90s", "10m", "36h",
"8d", "2w". Paths are absolute; ~ at their beginning is your home folder."""


def sample() -> str:
    """A commented configuration that loads."""
    lines = [f"# {line}" for line in _INTRODUCTION.splitlines()]
    lines += _section(Config, "")
    return "\n".join(lines) + "\n"


def json_schema() -> str:
    """The JSON schema of the configuration, for editors."""
    schema = Config.model_json_schema(by_alias=True)
    schema["required"].remove("mirror")  # the mirrors may all stand in included files
    schema["anyOf"] = [{"required": ["mirror"]}, {"required": ["include"]}]
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """Every option as a line of a Markdown table, section by section."""
    lines: list[str] = []
    for path, model in _all_sections(Config, ""):
        lines += ["", f"## {_heading(path) if path else 'Before the first section'}", "", _doc(model), ""]
        if model is DefaultsConfig:
            continue
        lines += ["| key | default | meaning | example |", "|---|---|---|---|"]
        for name, field in _fields(model):
            if section_of(field.annotation) is None:
                default = "required" if field.is_required() else _code(_default(name, field))
                example = _code(toml(field.examples[0])) if field.examples else ""
                lines.append(f"| `{name}` | {default} | {field.description} | {example} |")
    return "\n".join(lines).strip() + "\n"


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def _section(model: type[BaseModel], path: str, *, live: bool = True) -> list[str]:
    lines: list[str] = []
    if path:
        heading = _heading(path)
        lines += ["", *_comment(_doc(model)), heading if live else f"#{heading}"]
    if model is DefaultsConfig:
        return [*lines, *_some_defaults()]
    for name, field in _fields(model):
        if section_of(field.annotation) is None:
            lines += _option(name, field, live=live and (field.is_required() or _is_shown(field)))
    for name, field in model.model_fields.items():
        inner = section_of(field.annotation)
        if inner is not None:
            needs_answers = any(option.is_required() for option in inner.model_fields.values())
            taken = field.is_required() or _is_shown(field) or not (needs_answers or inner is DefaultsConfig)
            lines += _section(inner, f"{path}.{field.alias or name}".lstrip("."), live=live and taken)
    return lines


def _some_defaults() -> Iterator[str]:
    """What people set for all mirrors; the other options are under [[mirror]]."""
    for name in ("identity", "known_hosts", "exclude"):
        yield from _option(name, DefaultsConfig.model_fields[name], live=False)


def _fields(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """Required options first."""
    return sorted(model.model_fields.items(), key=lambda item: not item[1].is_required())


def _doc(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _is_shown(field: FieldInfo) -> bool:
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("x-in-sample"))


def _option(name: str, field: FieldInfo, *, live: bool) -> Iterator[str]:
    default = None if field.is_required() else _default(name, field)
    example = toml(field.examples[0]) if field.examples else '""'
    text = field.description or ""
    if not live and not default and not field.is_required():
        text += " Example:"
    yield from _comment(text)
    yield f"{name} = {example}" if live else f"#{name} = {default or example}"


def _default(name: str, field: FieldInfo) -> str:
    """The default as it would be written in the file; empty when there is none to write."""
    from snapmirror.config.values import format_duration, format_fraction, format_size

    value = field.default
    if field.default_factory is not None:
        return toml(field.examples[0]) if field.examples else ""
    if value is None or value == ():
        return ""
    if isinstance(value, Path):
        return toml(str(value))
    if isinstance(value, timedelta):
        return toml(format_duration(value))
    if isinstance(value, float):
        return toml(format_fraction(value))
    if isinstance(value, int) and field.examples and isinstance(field.examples[0], str):
        return toml(format_size(value))
    return toml(value)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _heading(path: str) -> str:
    return f"[[{path}]]" if path == "mirror" else f"[{path}]"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, width=110, initial_indent="# ", subsequent_indent="# ") or []


def _all_sections(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    if model is DefaultsConfig:
        return
    for name, field in model.model_fields.items():
        inner = section_of(field.annotation)
        if inner is not None:
            yield from _all_sections(inner, f"{path}.{field.alias or name}".lstrip("."))
