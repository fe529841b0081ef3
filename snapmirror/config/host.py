"""[host]: the Windows machine that serves the share, queried over WinRM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from snapmirror.config.section import Section
from snapmirror.config.share import Location, Table
from snapmirror.config.values import AbsolutePath, Bool, Port, Positive, Text

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
_WINDOWS_PATH = re.compile(r'[A-Za-z]:\\[^/:*?"<>|]+')
_CA_FILE = Path("/etc/ssl/certs/ca-certificates.crt")
_WITH_PASSWORD = ("user", "password_file", "password_command")
_WITH_CERTIFICATE = ("certificate", "certificate_key")


def _address(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError(f'"{value}" is not the name or IP address of a machine; write it like "winhost.example"')
    return value


def _windows_path(value: str) -> str:
    if not _WINDOWS_PATH.fullmatch(value):
        raise ValueError(f"\"{value}\" is not a Windows path; write it in single quotes, like 'D:\\Snapmirror\\x.img'")
    return value


def _task(value: str) -> str:
    if not value.isprintable() or set(value) & set('"/*?<>|'):
        raise ValueError(f"\"{value}\" is no scheduled task's name; write it like 'Copy to USB' or '\\Backup\\Copy'")
    return value


class HostConfig(Section):
    """The Windows machine that serves the share, queried over WinRM. Without this section it is never contacted."""

    address: Annotated[Text, AfterValidator(_address)] = Field(
        description="Its name or IP address, as its certificate has it.", examples=["winhost.example"]
    )
    transport: Literal["https", "certificate", "basic", "http"] = Field(
        default="https",
        description="https: TLS, login by NTLM; certificate: TLS, login by certificate; basic: TLS, the password as it "
        "is; http: NTLM, which encrypts each message.",
        examples=["https"],
    )
    port: Port | None = Field(default=None, description="Default: 5986, with http 5985.", examples=[5986])
    user: Text | None = Field(
        default=None, description=r"Who to log in as; an account of a domain as DOMAIN\name.", examples=["snapmirror"]
    )
    password_file: AbsolutePath | None = Field(
        default=None,
        description="File with the password in its first line, mode 600.",
        examples=["/etc/snapmirror/host.password"],
    )
    password_command: Annotated[tuple[Text, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Instead of password_file: a program that prints the password, as a list of words.",
        examples=[["/usr/local/bin/fetch-key", "winhost"]],
    )
    certificate: AbsolutePath | None = Field(
        default=None, description="certificate: our certificate (PEM).", examples=["/etc/snapmirror/host-login.pem"]
    )
    certificate_key: AbsolutePath | None = Field(
        default=None, description="certificate: its key (PEM), mode 600.", examples=["/etc/snapmirror/host-login.key"]
    )
    ca_file: AbsolutePath = Field(
        default=_CA_FILE,
        description="The certificate of the host, or of the CA that signed it (PEM). It is always checked.",
        examples=["/etc/snapmirror/winhost.pem"],
    )
    timeout_seconds: Positive = Field(default=60, description="A call that takes longer is aborted.", examples=[60])
    image_path: Annotated[Text, AfterValidator(_windows_path)] | None = Field(
        default=None,
        description="Where the image is on Windows. Default: found by the name of the share.",
        examples=[r"D:\Snapmirror\snapmirror.img"],
    )
    keep_awake: Bool = Field(
        default=True, description="Keep Windows from going to sleep while a night runs.", examples=[True]
    )
    event_log: Bool = Field(
        default=True, description="Write the result of each night to Windows' event log Application.", examples=[True]
    )
    copy_task: Annotated[Text, AfterValidator(_task)] | None = Field(
        default=None,
        description="A scheduled task of Windows, started after a good night, once the image is closed.",
        examples=["Copy to USB"],
    )


def host_checks(data: Table) -> Iterator[tuple[Location, str]]:
    """The rules between the options of [host]."""
    host = data.get("host")
    if not isinstance(host, dict):
        return
    transport = host.get("transport", "https")
    for key in _WITH_PASSWORD if transport == "certificate" else _WITH_CERTIFICATE:
        if key in host:
            yield ("host", key), f'this has no use with transport = "{transport}"; take it out'
    if transport == "certificate":
        for key in _WITH_CERTIFICATE:
            if key not in host:
                yield ("host", key), 'is missing; transport = "certificate" needs it'
    else:
        if "user" not in host:
            yield ("host", "user"), 'is missing; for example user = "snapmirror"'
        given = [key for key in ("password_file", "password_command") if key in host]
        if not given:
            yield ("host", "password_file"), "is missing; name it, or a password_command"
        elif len(given) == 2:
            yield ("host", "password_command"), "password_file is given as well; name only one of them"
    if transport == "http" and "ca_file" in host:
        yield ("host", "ca_file"), "there is no certificate with http; take this out"
    image = data.get("image")
    if "image_path" not in host and not (isinstance(data.get("share"), dict) and isinstance(image, dict)):
        yield ("host", "image_path"), "is missing; without [share] the image cannot be found on Windows"
