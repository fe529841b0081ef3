"""ssh(1), as the transport that rsync starts.

Host keys are always checked and nothing is ever asked: an unknown key or a missing login is an error, not a prompt.
"""

from __future__ import annotations

from snapmirror.config import MirrorConfig

CONNECT_SECONDS = 30
_ALIVE_SECONDS = 15
_ALIVE_COUNT = 8


def argv(mirror: MirrorConfig) -> list[str]:
    """ssh with the options of a mirror, without the destination."""
    source = mirror.source
    words = [
        "ssh",
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=yes",
        f"-oConnectTimeout={CONNECT_SECONDS}",
        # a server that went away ends the night instead of holding it for hours
        f"-oServerAliveInterval={_ALIVE_SECONDS}",
        f"-oServerAliveCountMax={_ALIVE_COUNT}",
        "-oForwardAgent=no",
        "-oForwardX11=no",
        "-oPermitLocalCommand=no",
        *_trust(mirror),
    ]
    if port := mirror.port or source.port:
        words.append(f"-oPort={port}")
    if mirror.jump_host:
        # not -J: it would ignore our key and our known hosts
        jump = ["ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", *_trust(mirror)]
        host, colon, jump_port = mirror.jump_host.rpartition(":")
        if colon and jump_port.isdigit():
            jump += [f"-oPort={jump_port}", "-W", "[%h]:%p", "--", host]
        else:
            jump += ["-W", "[%h]:%p", "--", mirror.jump_host]
        words.append("-oProxyCommand=" + " ".join(_proxy_word(word) for word in jump))
    return words


def rsh(mirror: MirrorConfig) -> str:
    """The same as rsync's --rsh takes it: one text that rsync itself splits, honouring quotes."""
    return " ".join(_quoted(word) for word in argv(mirror))


def _trust(mirror: MirrorConfig) -> list[str]:
    words = []
    if mirror.identity:
        words += [f"-oIdentityFile={_value(str(mirror.identity))}", "-oIdentitiesOnly=yes"]
    if mirror.known_hosts:
        words.append(f"-oUserKnownHostsFile={_value(str(mirror.known_hosts))}")
        words.append("-oGlobalKnownHostsFile=none")
    return words


def _value(text: str) -> str:
    """A path as ssh's option parser takes it: percent signs are its own."""
    text = text.replace("%", "%%")
    return f'"{text}"' if " " in text else text


def _proxy_word(word: str) -> str:
    """ssh hands a ProxyCommand to a shell."""
    return "'" + word.replace("'", "'\\''") + "'" if set(word) & set(" \"'$`\\;&|<>()*?[]#~") else word


def _quoted(word: str) -> str:
    if not set(word) & set(" '\""):
        return word
    # rsync knows both quotes and, inside of one kind, takes a doubled quote for one
    return "'" + word.replace("'", "''") + "'"
