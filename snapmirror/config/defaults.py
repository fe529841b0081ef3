"""[defaults]: fills in the options that a mirror does not set itself, before anything is checked."""

from __future__ import annotations

from typing import Any

from snapmirror.config.checks import DAEMON_ONLY, SSH_ONLY
from snapmirror.config.schema import DefaultsConfig
from snapmirror.config.share import Location, Table
from snapmirror.config.source import parse_source


def with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """The tables with complete mirrors. Values of a wrong type stay as they are."""
    defaults, mirrors = data.get("defaults"), data.get("mirror")
    if not isinstance(defaults, dict) or not isinstance(mirrors, list):
        return data
    return {**data, "mirror": [_filled(mirror, defaults) for mirror in mirrors]}


def _filled(mirror: Any, defaults: Table) -> Any:
    if not isinstance(mirror, dict):
        return mirror
    unfit = _unfit(mirror)
    filled = dict(mirror)
    for key, value in defaults.items():
        if key not in DefaultsConfig.model_fields or key in unfit:
            continue
        if isinstance(value, dict) and isinstance(mirror.get(key), dict):
            filled[key] = {**value, **mirror[key]}
        else:
            filled.setdefault(key, value)
    return filled


def _unfit(mirror: Table) -> set[str]:
    """The options that this kind of source does not use."""
    try:
        source = parse_source(mirror.get("source"))
    except ValueError:
        return {*SSH_ONLY, *DAEMON_ONLY}
    unfit = {*(SSH_ONLY if source.kind != "ssh" else ()), *(DAEMON_ONLY if source.kind != "daemon" else ())}
    return unfit | ({"port"} if source.port else set())


def place_of(place: Location, data: Table) -> Location:
    """Where a complete mirror's value at `place` was written: in the mirror's own section, or in [defaults]."""
    mirrors = data.get("mirror")
    if len(place) < 3 or place[0] != "mirror" or not isinstance(place[1], int) or not isinstance(mirrors, list):
        return place
    inner = place[2:]
    if _has(mirrors[place[1]], inner) or not _has(data.get("defaults"), inner):
        return place
    if inner == ("min_size",) and _has(mirrors[place[1]], ("max_size",)):
        return (*place[:2], "max_size")  # the limit that does not fit is the mirror's own
    return ("defaults", *inner)


def _has(table: Any, inner: Location) -> bool:
    for key in inner:
        if isinstance(key, int) or not isinstance(table, dict):
            break
        if key not in table:
            return False
        table = table[key]
    return isinstance(table, dict) or table is not None
