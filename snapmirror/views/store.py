"""`mount --json`, `copy-image --json` and `export status --json`: the store itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from snapmirror.views.fields import json_name, plain

if TYPE_CHECKING:
    from snapmirror.config import Config
    from snapmirror.errors import ExitCode
    from snapmirror.storage.copier import CopyReport

VERSION = 1


def mount(config: Config, warnings: Sequence[str], *, mounted: bool, readable: bool) -> dict[str, Any]:
    """The store mounted for browsing. `mounted`: just now; a plain folder never is."""
    return {
        **json_name(config.store.path),
        "mounted": mounted,
        "already_mounted": not mounted and not config.is_plain,
        "readable": readable,
        "warnings": plain(warnings),
    }


def copy(report: CopyReport, code: ExitCode) -> dict[str, Any]:
    """A copy of the image. Sizes are bytes."""
    return {"exit_code": int(code), **asdict(report)}


def export(config: Config, state: str) -> dict[str, Any]:
    """The export for Explorer: "on", "paused" or "off"."""
    export = config.export
    shares = [export.share, *(mirror.name for mirror in config.mirrors)] if export else []
    fields = {"state": state, "enabled": bool(export and export.enabled), "shares": shares}
    return {**fields, "users": list(export.users) if export else [], "port": export.port if export else None}
