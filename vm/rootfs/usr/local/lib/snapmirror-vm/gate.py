#!/usr/bin/python3
"""What the Windows host's keys may do in the appliance: snapmirror's commands, and reading files by sftp.

The forced command of their lines in authorized_keys (the PowerShell module writes these lines):

    restrict,command="/usr/bin/python3 -I /usr/local/lib/snapmirror-vm/gate.py" ssh-ed25519 AAAA…
    restrict,command="/usr/bin/python3 -I /usr/local/lib/snapmirror-vm/gate.py --admin" ssh-ed25519 AAAA…

The first is the everyday key, which lies on the Windows host; the second is the administrator's, and only there if it
was requested. allowed.py says what each may do, runs.py how often, reading.py what sftp shows.

`ssh vm snapmirror WORDS`, where WORDS are the words of a command as a JSON list, in base64: neither PowerShell 5.1 nor
ssh passes quotes, blanks and letters beyond ASCII on unchanged. snapmirror's output is ASCII for the same reason: JSON
stays JSON in every code page.

A run or a copy is a unit of its own, as cron's night is: it outlives its connection, and is stopped before the network
when the machine shuts down.

Python's standard library only. Becomes snapmirror or systemd-run.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import allowed
import runs
from allowed import Asked, RefusedError
from reading import SFTP_SERVER, properties_of
from settings import Problems, Settings, read_settings

SNAPMIRROR = "/usr/local/bin/snapmirror"
CONFIG = Path("/etc/snapmirror/snapmirror.toml")
SETTINGS = Path("/etc/snapmirror/appliance.toml")
AS_A_UNIT = ["/usr/bin/systemd-run", "--wait", "--pipe", "--quiet", "--collect", "--service-type=exec"]
LIKE_A_NIGHT = (
    "After=network-online.target", "Conflicts=shutdown.target", "Before=shutdown.target", "KillMode=process",
    "TimeoutStopSec=5min", "Environment=PYTHONIOENCODING=ascii",
)  # fmt: skip
_HERE = "/usr/bin/python3 -I /usr/local/lib/snapmirror-vm"
NOTED = f"ExecStopPost={_HERE}/night_ended.py"  # for logins and the console
# The variables of the connection that snapmirror and systemd-run get: a client may set LANG and others.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "USER": "root",
    "LOGNAME": "root", "SHELL": "/bin/bash", "LANG": "C.UTF-8", "PYTHONIOENCODING": "ascii",
}  # fmt: skip


def argv_of(request: str, *, admin: bool = False) -> list[str]:
    """The program to become for the client's request. Raises RefusedError. A run is recorded as begun."""
    try:
        words = shlex.split(request)
    except ValueError as error:
        raise RefusedError(f"the request cannot be read: {error}") from error
    config = configuration()
    if words in ([SFTP_SERVER], ["internal-sftp"]):
        return [*AS_A_UNIT, *_properties(properties_of(config)), "--", SFTP_SERVER, "-R"]
    if len(words) != 2 or words[0] != "snapmirror":
        raise RefusedError("this key is for snapmirror's commands and for reading by sftp")
    asked = allowed.read(decoded(words[1]), admin, config)
    is_night = asked.command == "run" and "--dry-run" not in asked.options
    if not is_night and asked.command != "copy-image":
        return [SNAPMIRROR, *asked.argv]
    properties = [*LIKE_A_NIGHT, *(_as_a_night(asked, admin, config) if is_night else [])]
    return [*AS_A_UNIT, *_properties(properties), "--", SNAPMIRROR, *asked.argv]


def _as_a_night(asked: Asked, admin: bool, config: Mapping[str, Any]) -> list[str]:
    if admin:
        return [NOTED]
    run = runs.begin(asked.words or mirrors_of(config), settings().key_runs_a_day)
    return [NOTED, f"ExecStopPost={_HERE}/gate.py --ended {run}"]


def _properties(properties: Sequence[str]) -> list[str]:
    return [f"--property={one}" for one in properties]


def decoded(text: str) -> list[str]:
    """The words of a command. Raises RefusedError."""
    try:
        words = json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise RefusedError("the words of the command are not JSON in base64") from error
    if not isinstance(words, list) or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise RefusedError("the words of the command are not a list of texts")
    return words


def configuration() -> Mapping[str, Any]:
    """snapmirror's configuration, as far as it can be read; snapmirror reports what is wrong with it."""
    try:
        return tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}


def mirrors_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of all mirrors."""
    found = config.get("mirror")
    names = tuple(str(one.get("name")) for one in found if isinstance(one, dict)) if isinstance(found, list) else ()
    return names or (runs.EVERY,)


def settings() -> Settings:
    """The machine's settings."""
    try:
        return read_settings(SETTINGS)
    except (OSError, Problems):
        return Settings()


def main(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Become the requested program."""
    if argv[:1] == ["--ended"]:  # by systemd, when a run of the everyday key has ended
        runs.ended(argv[1], environment.get("EXIT_STATUS", ""))
        return
    try:
        program = argv_of(environment.get("SSH_ORIGINAL_COMMAND", ""), admin=list(argv) == ["--admin"])
    except RefusedError as error:
        hint = [f"  hint: {error.hint}"] if error.hint else []
        print(f"snapmirror: error: {error}", *hint, sep="\n", file=sys.stderr)
        sys.exit(error.exit_code)
    os.execve(program[0], program, ENVIRONMENT)


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
