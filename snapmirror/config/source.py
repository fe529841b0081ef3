"""Where a mirror comes from: one text in the configuration, parsed once into a typed `Address`.

user@host:/path   host:/path   ssh://[user@]host[:port]/path     rsync over ssh
rsync://[user@]host[:port]/module[/path]                         an rsync daemon
/path                                                            a folder of this machine
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

Kind = Literal["ssh", "daemon", "local"]

FORMS = '"user@host:/path", "rsync://host/module/path" or "/local/path"'
_HOST = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.-]+)?"
)
_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@+\\-]*\$?")
_SSH = re.compile(r"(?:(?P<user>[^/]*)@)?(?P<host>\[[^]/]*\]|[^/:@\[]*):(?P<path>.*)", re.DOTALL)
_DAEMON = re.compile(r"(?P<place>(?:[^/]*@)?(?:\[[^]/]*\]|[^/:@\[]+))::(?P<rest>.*)", re.DOTALL)


class Address(Struct, frozen=True):
    """Where a source is. `path` is absolute and has no trailing slash ("/" itself excepted).

    For a daemon, `module` is the module and `path` the place inside it. `port` is what stands in a URL, else None.
    """

    kind: Kind
    path: str
    host: str = ""
    user: str = ""
    port: int | None = None
    module: str = ""

    @property
    def login(self) -> str:
        """What ssh takes as destination: user@host, or host."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def rsync_argument(self) -> str:
        """The source argument of rsync, with the trailing slash that means "the contents of"."""
        folder = self.path if self.path.endswith("/") else f"{self.path}/"
        host = f"[{self.host}]" if ":" in self.host else self.host
        at = f"{self.user}@" if self.user else ""
        if self.kind == "local":
            return folder
        if self.kind == "ssh":
            return f"{at}{host}:{folder}"
        port = f":{self.port}" if self.port else ""
        return f"rsync://{at}{host}{port}/{self.module}{folder}"

    def __str__(self) -> str:
        if self.kind == "ssh" and self.port:
            return f"{self.rsync_argument.rstrip('/') or '/'} (port {self.port})"
        text = self.rsync_argument.rstrip("/")
        return f"{text}/" if not text or text.endswith(":") else text


def parse_source(text: object) -> Address:
    """Raises ValueError with a sentence that names what is wrong and what to write."""
    if isinstance(text, Address):
        return text
    if not isinstance(text, str):
        raise ValueError(f"the source is a text: {FORMS}")
    if not text.strip():
        raise ValueError(f"the source is empty; write {FORMS}")
    if "\0" in text or "\n" in text:
        raise ValueError("the source cannot hold a NUL or a line break")
    if text.startswith("/"):
        return Address("local", _folder(text))
    if text.startswith(("rsync://", "ssh://")):
        return _from_url(text)
    if "://" in text:
        raise ValueError(f'"{text.split("://")[0]}://" is not supported; write {FORMS}')
    _need_brackets(text, text.rpartition(":/")[0])
    if (daemon := _DAEMON.fullmatch(text)) is not None:
        raise ValueError(f'write a daemon source as "rsync://{daemon["place"]}/{daemon["rest"].lstrip("/")}"')
    match = _SSH.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not a source; write {FORMS}')
    return Address("ssh", _folder(match["path"]), _host(match["host"]), _user(match["user"]))


def parse_jump_host(text: str) -> str:
    """Raises ValueError with a sentence about a jump host that ssh would take for something else."""
    _need_brackets(text, text)
    if "," in text:
        raise ValueError("this is one host; name further ones as ProxyJump in ssh's own configuration")
    port = re.fullmatch(r".*(?:\]|[^:]):(\d+)", text)
    if port is not None and not 1 <= int(port[1]) <= 65535:
        raise ValueError(f"{port[1]} is not a port; a port is 1 to 65535")
    if ("[" in text or "]" in text) and not re.fullmatch(r"(?:ssh://)?(?:[^@]*@)?\[[^][]+\](?::\d+)?", text):
        raise ValueError(f'"{text}" is not a host; write an IPv6 address as "user@[::1]:22"')
    return text


def _from_url(text: str) -> Address:
    scheme, rest = text.split("://", 1)
    authority, slash, path = rest.partition("/")
    _need_brackets(text, authority)
    try:
        url = urlsplit(f"//{authority}")
        port = url.port
    except ValueError:
        raise ValueError(f'"{text}" has no valid host and port; write "{scheme}://host:port/path"') from None
    if url.password is not None:
        raise ValueError("a password does not belong in the source; use password_file (daemon) or identity (ssh)")
    user = authority.rpartition("@")[0]
    host = _host(_host_part(authority.rpartition("@")[2]))
    if scheme == "ssh":
        return Address("ssh", _folder(slash + path), host, _user(user), port)
    module, _, inside = path.partition("/")
    if not module:
        raise ValueError(f'"{text}" names no module; write "rsync://host/module/path"')
    return Address("daemon", _folder(f"/{inside}"), host, _user(user), port, module)


def _need_brackets(text: str, place: str) -> None:
    address = place.rpartition("@")[2]
    try:
        IPv6Address(address)
    except ValueError:
        return
    raise ValueError(f'an IPv6 address needs brackets; write "{text.replace(address, f"[{address}]", 1)}"')


def _host_part(authority: str) -> str:
    return authority.partition("]")[0] + "]" if authority.startswith("[") else authority.partition(":")[0]


def _host(text: str) -> str:
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not host:
        raise ValueError(f"the source names no host; write {FORMS}")
    if not _HOST.fullmatch(host):  # above all nothing that starts with "-": ssh would take it as an option
        raise ValueError(f'"{host}" is not a host name or address')
    return host


def _user(text: str | None) -> str:
    if text is None or text == "":
        return ""
    if not _USER.fullmatch(text):
        raise ValueError(f'"{text}" is not a user name')
    return text


def _folder(path: str) -> str:
    if not path.startswith("/"):
        hint = "/ followed by the path" if not path else f'"/…/{path}"'
        raise ValueError(f"the path of the source must be absolute; write {hint} after the host")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ValueError("the path of the source holds '..'; write it without")
    return "/" + "/".join(parts)
