"""Runs a script on a Windows machine, over WinRM. Runs `snapmirror.tools.wsman`, a program of our own.

The script is sent unchanged; its parameters are sent separately, as JSON in an environment variable of the remote
shell, so that no value is ever part of a command. The script prints one JSON object. The secret goes to the program
through stdin.
"""

from __future__ import annotations

import html
import json
import os
import re
import select
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import asdict

from snapmirror.errors import HostError
from snapmirror.process import ProgramFailed, ProgramTimeout, Running, run, running

Transport = Literal["https", "basic", "certificate", "http"]
PORTS: Mapping[Transport, int] = {"https": 5986, "basic": 5986, "certificate": 5986, "http": 5985}
# Beyond the deadline of a call: to start, to delete the shell, to be told to end. The program keeps its deadlines
# itself; this is for the case that it does not.
_MARGIN_SECONDS = 60.0
_LONGEST_COMPLAINT = 10_000  # characters that are searched
_PACKAGE = Path(__file__).resolve().parents[2]
_ARGV = (sys.executable, "-P", "-m", "snapmirror.tools.wsman")


class Login(Struct, frozen=True):
    """Where the host is, and how to log in."""

    host: str
    port: int
    transport: Transport
    user: str
    password: str
    ca_file: str
    certificate: str | None
    certificate_key: str | None
    timeout: int  # seconds, of each call

    def __repr__(self) -> str:  # without the password
        return f"Login({self.user!r} on {self.host!r})"


class ScriptError(HostError):
    """The host was reached, but the script failed. `native`: its exit code, or that of a program that it ran."""

    def __init__(self, message: str, native: int) -> None:
        super().__init__(message)
        self.native = native


def ask(login: Login, script: str, parameters: Mapping[str, object]) -> dict[str, Any]:
    """Run a script on the host and return what it prints. Raises HostError, ScriptError."""
    try:
        done = run(
            _ARGV,
            stdin=_request(login, script, parameters, hold=False),
            env=_environment(),
            timeout=3 * login.timeout + _MARGIN_SECONDS,
        )
    except ProgramTimeout:
        raise _failure(login, "late", "") from None
    except ProgramFailed as failed:
        raise _failure(login, "broken", failed.completed.complaint) from failed
    return _answer(login, done.stdout)


class Held:
    """A script that runs on the host during the block."""

    def __init__(self, login: Login, child: Running) -> None:
        self._login, self._child = login, child

    def failure(self) -> HostError | None:
        """Why it ended, if it did."""
        try:
            self._child.wait(0)
        except ProgramTimeout:
            return None
        assert self._child.stdout is not None
        try:
            _answer(self._login, self._child.stdout.read())
        except HostError as error:
            return error
        return _failure(self._login, "ended", "")


@contextmanager
def held(login: Login, script: str, parameters: Mapping[str, object]) -> Iterator[Held]:
    """Run a script on the host; it has printed its first line. Raises HostError if that line does not come."""
    request = _request(login, script, parameters, hold=True)
    with running(_ARGV, stdin=request, env=_environment()) as child:
        _answer(login, _first_line(login, child))
        yield Held(login, child)


def _first_line(login: Login, child: Running) -> bytes:
    assert child.stdout is not None
    deadline, line = time.monotonic() + 3 * login.timeout + _MARGIN_SECONDS, b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise _failure(login, "late", "")
        chunk = os.read(child.stdout.fileno(), 1 << 16)
        if not chunk:
            break
        line += chunk
    return line


def _request(login: Login, script: str, parameters: Mapping[str, object], *, hold: bool) -> bytes:
    return json.dumps({**asdict(login), "script": script, "parameters": dict(parameters), "hold": hold}).encode()


def _environment() -> dict[str, str]:
    """So that the program finds this package, wherever it is started."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(_PACKAGE), os.environ.get("PYTHONPATH")]))}


def _answer(login: Login, said: bytes) -> dict[str, Any]:
    lines = said.splitlines()
    try:
        answer = json.loads(lines[0])
    except (IndexError, ValueError):
        raise _failure(login, "broken", "no answer came") from None
    if "failure" in answer:
        raise _failure(login, answer["failure"], answer["detail"])
    code, printed, complained = int(answer["exit_code"]), str(answer["stdout"]), str(answer["stderr"])
    try:
        result = json.loads(printed)
    except (ValueError, RecursionError):
        result = None
    if isinstance(result, dict) and code == 0:
        return result
    said_error = result.get("error") if isinstance(result, dict) else None
    sentence = _one_line(str(said_error or _plain(complained) or printed)) or f"the script ended with {code}"
    raise ScriptError(sentence, code)


def _failure(login: Login, kind: str, detail: str) -> HostError:
    """The program's failure as a sentence and a hint."""
    host, where = login.host, f"{login.host} port {login.port}"
    because = f": {_one_line(detail)}" if detail else ""
    match kind:
        case "away":
            return HostError(
                f"the Windows host does not answer ({where}{because})",
                hint="is it running? 'winrm enumerate winrm/config/listener' there shows where WinRM listens; its "
                "firewall must let this machine in",
            )
        case "late":
            return HostError(
                f"the Windows host {host} did not answer within {login.timeout} seconds",
                hint="what keeps it busy? timeout_seconds in [host] is the limit of one call",
            )
        case "refused":
            return HostError(
                f"the Windows host {host} refuses the login" + (f" of {login.user}" if login.user else ""),
                hint="check user and password, or the certificate, in [host]; too many tries may lock the account",
            )
        case "denied":
            return HostError(
                f"the Windows host {host} lets {login.user or 'the certificate'} log in, but not run anything",
                hint="it needs Read and Execute in WinRM's RootSDDL ('snapmirror help host'), or an administrator",
            )
        case "certificate":
            return HostError(
                f"the certificate of {where} is not trusted{because}",
                hint=f"ca_file in [host] must hold that certificate, or its CA's, and it must be made out to {host}",
            )
        case "fault":
            return HostError(f"WinRM on {host} reports a fault{because}")
        case "too much":
            return HostError(f"the Windows host {host} sends more than a script of ours ever prints; stopped listening")
        case "in clear":
            return HostError(
                f"what answers on {where} does not encrypt{because}; its answer is ignored",
                hint='is it WinRM, and is it the right machine? transport = "https" in [host] checks that',
            )
        case "ended":
            return HostError(f"the script that should keep running on {host} has ended{because}")
        case _:
            return HostError(
                f"the conversation with the Windows host broke off ({where}{because})",
                hint="does WinRM answer on that port, and nothing else?",
            )


def _plain(complaint: str) -> str:
    """PowerShell's errors, without the XML that may surround them."""
    if not complaint.startswith("#< CLIXML"):
        return complaint
    errors = "".join(re.findall(r'<S S="Error">(.*?)</S>', complaint[:_LONGEST_COMPLAINT], re.DOTALL))
    return html.unescape(errors.replace("_x000D__x000A_", "\n"))


def _one_line(text: str) -> str:
    """Without line breaks, and of limited length."""
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:299]}…"
