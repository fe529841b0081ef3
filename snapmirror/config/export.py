"""[export]: the history, served read-only to Windows machines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from snapmirror.config.section import SHOWN, Section
from snapmirror.config.share import Location, Table
from snapmirror.config.values import AbsolutePath, Bool, Port, Text

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_SHARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
_RESERVED = ("global", "homes", "printers", "ipc$", "print$", "admin$", "c$")  # mean something to Samba or Windows


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError(f'"{value}" cannot be the name of a user here; use a-z, 0-9, "_" and "-"')
    return value


def _share(value: str) -> str:
    if not _SHARE.fullmatch(value) or value.lower() in _RESERVED:
        raise ValueError(f'"{value}" cannot be the name of a share; use letters, digits, ".", "_" and "-"')
    return value


UserName = Annotated[str, AfterValidator(_user)]
ShareName = Annotated[str, AfterValidator(_share)]


class ExportConfig(Section):
    """The history, read-only, for Explorer: dated folders, and Previous Versions. Without this section: nothing."""

    enabled: Bool = Field(
        default=False,
        description="In the helper VM: serve whenever the machine runs. Elsewhere run 'snapmirror export serve'.",
        examples=[True],
        json_schema_extra={**SHOWN},
    )
    users: Annotated[dict[UserName, AbsolutePath], Field(min_length=1)] = Field(
        description="Who may read everything, passwords in mirrored files included: name = file with the password, "
        "mode 600.",
        examples=[{"anna": "/etc/snapmirror/anna.password"}],
    )
    share: ShareName = Field(
        default="history",
        description="Name of the share with the dated folders. Each mirror's newest snapshot is a share of its own.",
        examples=["history"],
    )
    port: Port = Field(default=445, description="TCP port. Windows connects to 445 only.", examples=[445])
    interfaces: tuple[Text, ...] = Field(
        default=(),
        description="Serve only on these addresses, networks or interfaces (by name). Default: everywhere.",
        examples=[["192.168.1.5", "lo"]],
    )


def export_checks(data: Table) -> Iterator[tuple[Location, str]]:
    """The rules between [export] and other sections."""
    export, store, mirrors = data.get("export"), data.get("store"), data.get("mirror")
    if not isinstance(export, dict):
        return
    share = export.get("share", "history")
    for index, mirror in enumerate(mirrors if isinstance(mirrors, list) else []):
        name: Any = mirror.get("name") if isinstance(mirror, dict) else None
        if not isinstance(name, str):
            continue
        if name.lower() in _RESERVED:
            yield ("mirror", index, "name"), f'"{name}" is a reserved name in Samba and cannot be exported; rename it'
        elif isinstance(share, str) and name.lower() == share.lower():
            yield ("export", "share"), f'a mirror is called "{name}" as well, and has a share of that name'
    path = store.get("path") if isinstance(store, dict) else None
    if isinstance(path, str) and not re.fullmatch(r"[^%\"\s;#](?:[^%\"\n;#]*[^%\"\s;#])?", path):
        yield ("store", "path"), 'with [export] it must not contain % " ; or #, which Samba interprets'
    for text in export.get("interfaces", ()) if isinstance(export.get("interfaces"), list) else ():
        if isinstance(text, str) and not re.fullmatch(r"[A-Za-z0-9_.:/-]+", text):
            yield ("export", "interfaces"), f'"{text}" is not an address, network or interface'
