#!/usr/bin/python3
"""What the Windows host's key may do in the appliance: snapmirror's commands, and reading files by sftp.

The forced command of its line in authorized_keys (the PowerShell module writes that line):

    restrict,command="/usr/bin/python3 -I /usr/local/lib/snapmirror-vm/gate.py" ssh-ed25519 AAAA…

`ssh vm snapmirror WORDS`, where WORDS are the words of a command as a JSON list, in base64: neither PowerShell 5.1 nor
ssh hands quotes, blanks and letters beyond ASCII on as they are. What snapmirror prints is ASCII for the same reason:
whatever code page reads it, JSON stays JSON.

A run or a copy is a unit of its own, as cron's night is: it outlives its connection, and is stopped before the network
when the machine goes down. Reading by sftp (restored files, the copy of the LUKS header) does not reach keys.

Python's standard library only. Becomes snapmirror, systemd-run or sftp-server.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import shlex
import sys
from collections.abc import Mapping

COMMANDS = (
    "copy-image", "diff", "doctor", "find", "host", "init", "list", "mount", "pin", "plan", "restore", "run",
    "status", "umount", "unpin", "verify",
)  # fmt: skip
SNAPMIRROR = "/usr/local/bin/snapmirror"
SFTP_SERVER = "/usr/lib/openssh/sftp-server"
AS_A_UNIT = ["/usr/bin/systemd-run", "--wait", "--pipe", "--quiet", "--collect"]
LIKE_A_NIGHT = (
    "After=network-online.target", "Conflicts=shutdown.target", "Before=shutdown.target", "KillMode=process",
    "TimeoutStopSec=5min", "Environment=PYTHONIOENCODING=ascii",
)  # fmt: skip
NOTED = "ExecStopPost=/usr/bin/python3 -I /usr/local/lib/snapmirror-vm/night_ended.py"  # for logins and the console
CLOSED = ("/etc/snapmirror", "/etc/ssh", "/etc/shadow", "-/etc/shadow-", "/root")
USAGE = 2  # as snapmirror's


class RefusedError(Exception):
    """The request is not one that is let through."""


def argv_of(request: str) -> list[str]:
    """The program to become for what the client has asked for. Raises RefusedError."""
    try:
        words = shlex.split(request)
    except ValueError as error:
        raise RefusedError(f"the request cannot be read: {error}") from error
    if words in ([SFTP_SERVER], ["internal-sftp"]):
        closed = [f"--property=InaccessiblePaths={path}" for path in CLOSED]
        return [*AS_A_UNIT, "--property=ProtectSystem=strict", *closed, SFTP_SERVER, "-R"]
    if len(words) != 2 or words[0] != "snapmirror":
        raise RefusedError("this key is for snapmirror's commands and for reading by sftp")
    command = decoded(words[1])
    if not command or command[0] not in COMMANDS:
        raise RefusedError(f"this key is for {', '.join(COMMANDS)}")
    if command[0] == "restore" and any(word.split("=")[0] == "--to" for word in command):
        raise RefusedError("restore --to would write into this machine; read by sftp, or restore --push")
    if command[0] in ("run", "copy-image"):
        is_night = command[0] == "run" and not {"--dry-run", "-n"} & set(command)
        properties = [f"--property={one}" for one in (*LIKE_A_NIGHT, *([NOTED] if is_night else []))]
        return [*AS_A_UNIT, "--service-type=exec", *properties, "--", SNAPMIRROR, *command]
    return [SNAPMIRROR, *command]


def decoded(text: str) -> list[str]:
    """The words of a command. Raises RefusedError."""
    try:
        words = json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise RefusedError("the words of the command are not JSON in base64") from error
    if not isinstance(words, list) or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise RefusedError("the words of the command are not a list of texts")
    return words


def main(environment: Mapping[str, str]) -> None:
    """Become the program that was asked for."""
    try:
        argv = argv_of(environment.get("SSH_ORIGINAL_COMMAND", ""))
    except RefusedError as error:
        print(f"snapmirror: error: {error}", file=sys.stderr)
        sys.exit(USAGE)
    os.execve(argv[0], argv, {**environment, "PYTHONIOENCODING": "ascii"})


if __name__ == "__main__":
    main(os.environ)
