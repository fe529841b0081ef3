"""Facts about the host, as far as the account may read them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PureWindowsPath
from typing import Any

from msgspec import Struct, field

from snapmirror.config import Config
from snapmirror.errors import HostError
from snapmirror.windows.asking import Host, configured

_MOST = (1 << 63) - 1  # an Int64 of Windows


class Facts(Struct):
    """None where it is not known; `unknown` says why. Sizes are bytes."""

    windows: str | None = None
    clock_apart_seconds: float | None = None  # how far its clock is ahead of ours
    path: str | None = None
    volume_free: int | None = None
    volume_size: int | None = None
    volume_format: str | None = None
    folder_compressed: bool | None = None
    image_exists: bool | None = None
    image_size: int | None = None
    image_sparse: bool | None = None
    image_compressed: bool | None = None
    fragments: int | None = None
    server_encrypts: bool | None = None
    share_encrypts: bool | None = None
    smb1: bool | None = None
    open_by: list[dict[str, str]] | None = None
    sessions: list[dict[str, str]] | None = None
    sleep_seconds: int | None = None
    hibernate_seconds: int | None = None
    wake_timers: int | None = None
    restart_pending: bool | None = None
    event_source: bool | None = None
    unknown: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str | None:
        """The folder that the image is in."""
        return str(PureWindowsPath(self.path).parent) if self.path else None


def survey(config: Config, host: Host | None = None) -> Facts:
    """Query everything. Raises HostError if the host cannot be queried at all."""
    host = host or Host(configured(config))
    facts = ask_system(host)
    _image(facts, host, config)
    if config.share is not None and facts.path is not None:
        _optional(facts, "sharing", host, share=_share_of(config), path=facts.path)
    if facts.image_exists:
        _optional(facts, "fragments", host, path=facts.path)
    return facts


def place_of(config: Config) -> dict[str, object]:
    """The image's place as the scripts take it: its path, or its share and its name below that."""
    path = config.host.image_path if config.host else None
    if path is not None or config.share is None or config.image is None:
        return {"path": path}
    parts = config.share.unc.split("/")[4:] + list(config.image.file.relative_to(config.share.mount_point).parts)
    return {"share": _share_of(config), "file": "\\".join(parts)}


def _share_of(config: Config) -> str:
    assert config.share is not None
    return config.share.unc.split("/")[3]


def ask_system(host: Host) -> Facts:
    """The facts about Windows itself. Raises HostError."""
    facts = Facts()
    before = time.time()
    answer = _take(facts, host.ask("system"))
    middle = (before + time.time()) / 2
    facts.windows = _text(answer, "windows")
    with suppress(ValueError):  # then it stays unknown
        there = datetime.strptime(_text(answer, "now") or "", "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        facts.clock_apart_seconds = round(there.timestamp() - middle, 1)
    facts.sleep_seconds = _number(answer, "sleep_seconds")
    facts.hibernate_seconds = _number(answer, "hibernate_seconds")
    facts.wake_timers = _number(answer, "wake_timers")
    facts.restart_pending = _truth(answer, "restart_pending")
    facts.event_source = _truth(answer, "event_source")
    return facts


def _image(facts: Facts, host: Host, config: Config) -> None:
    answer = _take(facts, host.ask("image", **place_of(config)))
    facts.path = _text(answer, "path")
    volume = _table(answer, "volume")
    facts.volume_free, facts.volume_size = _number(volume, "free"), _number(volume, "size")
    facts.volume_format = _text(volume, "format")
    facts.folder_compressed = _truth(answer, "folder_compressed")
    if "image" in answer:
        image = _table(answer, "image")
        facts.image_exists = bool(image)
        facts.image_size = _number(image, "size")
        facts.image_sparse, facts.image_compressed = _truth(image, "sparse"), _truth(image, "compressed")


def _optional(facts: Facts, script: str, host: Host, **parameters: object) -> None:
    """Facts that may be missing: the account lacks the rights, or the disk is slow."""
    try:
        answer = host.ask(script, **parameters)
    except HostError as error:
        facts.unknown[script] = error.message
        return
    if script == "fragments":
        facts.fragments = _number(answer, "fragments")
        return
    found = _take(facts, answer)
    server = _table(found, "server")
    facts.server_encrypts, facts.smb1 = _truth(server, "encrypts"), _truth(server, "smb1")
    facts.share_encrypts = _truth(found, "share_encrypts")
    facts.open_by = _tables(found, "open")
    facts.sessions = _tables(found, "sessions")


def _take(facts: Facts, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    facts.unknown |= {name: " ".join(str(why).split())[:200] for name, why in _table(answer, "unknown").items()}
    return _table(answer, "facts")


def _table(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = answer.get(name)
    return value if isinstance(value, dict) else {}


def _tables(answer: Mapping[str, Any], name: str) -> list[dict[str, str]] | None:
    """A list, as PowerShell 5.1 writes it: {} or null for none, the item itself for one, or a table with 'value'."""
    if name not in answer:
        return None
    value = answer[name]
    if isinstance(value, dict) and "Count" in value:
        value = value.get("value")
    entries = value if isinstance(value, list) else [value]
    return [{str(k): str(v) for k, v in entry.items()} for entry in entries if isinstance(entry, dict) and entry]


def _number(answer: Mapping[str, Any], name: str) -> int | None:
    value = answer.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST else None


def _truth(answer: Mapping[str, Any], name: str) -> bool | None:
    value = answer.get(name)
    return value if isinstance(value, bool) else None


def _text(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    return value if isinstance(value, str) else None
