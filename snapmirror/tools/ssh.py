"""ssh(1), as the transport that rsync starts.

Host keys are always checked and ssh never prompts: an unknown key or a missing login is an error.

The user's ssh_config still decides how a host is reached: aliases, ports, users, jumps, proxies, keys, ciphers. Options
that change what a session does or prints are set here, which takes precedence. To read no ssh_config at all (-F none)
was rejected: sources are written with aliases.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

CONNECT_SECONDS = 30
_ALIVE_SECONDS = 15
_ALIVE_COUNT = 8

_SESSION = {
    "BatchMode": "yes",
    "ConnectTimeout": f"{CONNECT_SECONDS}",
    # a server that went away ends the night instead of blocking it for hours
    "ServerAliveInterval": f"{_ALIVE_SECONDS}",
    "ServerAliveCountMax": f"{_ALIVE_COUNT}",
    # the host's key is checked, and only against the files of known hosts
    "StrictHostKeyChecking": "yes",
    "VerifyHostKeyDNS": "no",
    "NoHostAuthenticationForLocalhost": "no",
    "CheckHostIP": "no",
    # our own login: over somebody's open connection it would be theirs, with their key (see `Login.control`)
    "ControlMaster": "no",
    "ControlPath": "none",
    "ControlPersist": "no",
    # one command, its input and output, in the foreground
    "RemoteCommand": "none",
    "SessionType": "default",
    "RequestTTY": "no",
    "StdinNull": "no",
    "ForkAfterAuthentication": "no",
    "EscapeChar": "none",
    "PermitLocalCommand": "no",
    # nothing of ours is forwarded to the server, and no port is opened
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    "Tunnel": "no",
    "AddKeysToAgent": "no",
    # it prints errors only, not the server's banner, nor pictures of keys
    "LogLevel": "ERROR",
    "LogVerbose": "none",
    "VisualHostKey": "no",
}


class Login(Struct, frozen=True):
    """How to log in to a server. For a value of None, ssh and its own configuration decide.

    `control` is the socket of a connection that is used if it is there, see `ssh_connection`.
    """

    port: int | None = None
    identity: Path | None = None
    known_hosts: Path | None = None
    jump_host: str | None = None
    control: Path | None = None


def argv(login: Login, session: Mapping[str, str] = _SESSION) -> list[str]:
    """ssh with the options of a login, without the destination."""
    words = _login(login, {**session, "ControlPath": str(login.control)} if login.control else session)
    if login.port:
        words.append(f"-oPort={login.port}")
    if login.jump_host:
        # not -J, which would ignore our key and our known hosts
        host, jump_port = jump(login.jump_host)
        gate = [*_login(login), *([f"-oPort={jump_port}"] if jump_port else []), "-W", "[%h]:%p", "--", host]
        words += ["-oProxyCommand=" + " ".join(_proxy_word(word) for word in gate), "-oProxyUseFdpass=no"]
    return words


def master_argv(login: Login, destination: str) -> list[str]:
    """ssh that only stays connected, and offers its connection on the socket `control` of the login."""
    return [*argv(login, {**_SESSION, "ControlMaster": "yes", "SessionType": "none"}), "--", destination]


def jump(jump_host: str) -> tuple[str, int | None]:
    """The host of a jump (with its user, if one is given), and its port."""
    host, colon, port = jump_host.rpartition(":")
    name, number = (host, int(port)) if colon and port.isdigit() else (jump_host, None)
    return re.sub(r"\[([^][]*)\]$", r"\1", name), number  # (ssh itself takes an address without its brackets)


def rsh(login: Login) -> str:
    """The same as rsync's --rsh takes it: one text that rsync itself splits, honouring quotes.

    rsync has no HOME (see `environment`); a ProxyCommand of ssh_config may need it.
    """
    home = os.environ.get("HOME")
    return " ".join(_quoted(word) for word in [*(["env", f"HOME={home}"] if home else []), *argv(login)])


def _login(login: Login, session: Mapping[str, str] = _SESSION) -> list[str]:
    words = [
        "ssh",
        "-k",
        *(f"-o{key}={value}" for key, value in session.items()),
    ]  # -k: no Kerberos tickets are forwarded either
    if login.identity:
        words += [f"-oIdentityFile={_value(str(login.identity))}", "-oIdentitiesOnly=yes"]
        words += ["-oPubkeyAuthentication=yes", "-oPreferredAuthentications=publickey"]
    if login.known_hosts:
        words.append("-oKnownHostsCommand=none")
        words.append(f"-oUserKnownHostsFile={_value(str(login.known_hosts))}")
        words.append("-oGlobalKnownHostsFile=none")
    return words


def _value(text: str) -> str:
    """A path in the form that ssh's option parser takes: percent signs are special there."""
    text = text.replace("%", "%%")
    return f'"{text}"' if " " in text else text


def _proxy_word(word: str) -> str:
    """Quoted for a shell: ssh runs a ProxyCommand in one."""
    return "'" + word.replace("'", "'\\''") + "'" if set(word) & set(" \"'$`\\;&|<>()*?[]#~") else word


def _quoted(word: str) -> str:
    if not set(word) & set(" '\""):
        return word
    # rsync knows both quotes and, inside one kind, reads a doubled quote as one
    return "'" + word.replace("'", "''") + "'"
