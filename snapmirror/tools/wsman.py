"""The program that speaks WS-Management with Windows: `python -m snapmirror.tools.wsman`. Only `tools.winrm` runs it.

One request, a script to run, comes as JSON on stdin, secrets included; answers go as lines of JSON to stdout. It is a
process of its own because pywinrm has traps that are best closed from outside:

- a hung command is retried for ever, and timeouts count from one byte to the next: here an alarm ends each call;
- a shell is not deleted when something fails: here it is, over a new connection, also after an alarm or SIGTERM;
- proxies, CA bundles and netrc of the environment are used: here there is no environment;
- an answer may be of any size, may redirect, or may be in clear although the request was encrypted: here none of that
  is accepted;
- its libraries take 0.2 s and 20 MB: a night does not load them.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal

import requests
from requests.adapters import HTTPAdapter
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)
from winrm.protocol import Protocol
from winrm.transport import Transport

Kind = Literal["away", "late", "refused", "denied", "certificate", "fault", "broken", "too much", "in clear", "ended"]
# -Command would take a script as it is, but cmd.exe, which WinRM starts, would read it first. Encoded, it cannot.
COMMAND = (
    "powershell.exe -NoLogo -NoProfile -NonInteractive -OutputFormat Text -ExecutionPolicy Bypass -EncodedCommand "
)
LONGEST_COMMAND = 8191  # the most that cmd.exe accepts
PARAMETERS = "SNAPMIRROR_PARAMETERS"
_UTF8 = 65001  # the code page of the script's output
_MOST_BYTES = 1 << 20  # of one answer, and of a script's whole output
_ASK_SECONDS = 20  # Windows may delay its answer so long, until a script prints something
_DELETE_SECONDS = 8.0  # to delete a shell; a program that is told to end has 10
_IDLE = "PT600S"  # Windows deletes a shell without requests for so long: its client is gone
_ACCESS_DENIED = 5
_METHODS: Mapping[str, tuple[str, Any, Any]] = {  # transport: scheme, pywinrm's name for it, message encryption
    "https": ("https", "ntlm", "never"),  # TLS encrypts, and NTLM is bound to it
    "basic": ("https", "ssl", "never"),
    "certificate": ("https", "certificate", "never"),
    "http": ("http", "ntlm", "always"),
}


class Failure(Exception):  # noqa: N818  (it travels to the parent, which makes an error of it)
    """What went wrong, in the kinds that the parent distinguishes."""

    def __init__(self, kind: Kind, detail: str = "") -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


class _Late(BaseException):
    """The alarm. Not an Exception: libraries must not catch it."""


class _Stopped(BaseException):
    """SIGTERM."""


class _Adapter(HTTPAdapter):
    """Answers of bounded length. A certificate as login needs TLS 1.2: Windows asks for it too late for 1.3."""

    def __init__(self, *, by_certificate: bool) -> None:
        self._limits = {"ssl_maximum_version": ssl.TLSVersion.TLSv1_2} if by_certificate else {}
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **{**kwargs, **self._limits})

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        whole = response.iter_content

        def bounded(*args: Any, **kwargs: Any) -> Iterator[Any]:
            taken = 0
            for chunk in whole(*args, **kwargs):
                taken += len(chunk)
                if taken > _MOST_BYTES:
                    response.close()
                    raise Failure("too much")
                yield chunk

        response.iter_content = bounded  # type: ignore[method-assign]
        return response


class _Transport(Transport):
    """No redirects, bounded answers, and none in clear if the request was encrypted."""

    def _send_message_request(
        self, session: requests.Session, prepared_request: requests.PreparedRequest
    ) -> requests.Response:
        session.max_redirects = 0
        for scheme in ("https://", "http://"):
            if not isinstance(session.get_adapter(scheme), _Adapter):
                session.mount(scheme, _Adapter(by_certificate=self.auth_method == "certificate"))
        return super()._send_message_request(session, prepared_request)

    def _get_message_response_text(self, response: requests.Response) -> bytes:
        encrypted = "application/HTTP-SPNEGO-session-encrypted" in response.headers.get("Content-Type", "")
        if self.message_encryption == "always" and not encrypted:
            raise Failure("in clear", f"HTTP status {response.status_code}")
        return super()._get_message_response_text(response)


class Conversation:
    """The conversation with one host, as the request specifies it."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self.timeout = float(request["timeout"])

    def connection(self) -> Protocol:
        """A new connection; nothing is sent yet, except that message encryption begins with a login."""
        request = self._request
        scheme, method, encryption = _METHODS[request["transport"]]
        host = f"[{request['host']}]" if ":" in request["host"] else request["host"]
        options: dict[str, Any] = {
            "username": request["user"],
            "password": request["password"],
            "ca_trust_path": request["ca_file"],
            "cert_pem": request["certificate"],
            "cert_key_pem": request["certificate_key"],
            "server_cert_validation": "validate",
            "message_encryption": encryption,
            "proxy": None,
        }
        endpoint = f"{scheme}://{host}:{request['port']}/wsman"
        wait = _ASK_SECONDS + 10
        protocol = Protocol(
            endpoint, transport=method, operation_timeout_sec=_ASK_SECONDS, read_timeout_sec=wait, **options
        )
        protocol.transport = _Transport(endpoint, auth_method=method, service="HTTP", read_timeout_sec=wait, **options)
        return protocol

    @contextmanager
    def shell(self, parameters: Mapping[str, Any]) -> Iterator[tuple[Protocol, str]]:
        """A shell on the host, deleted in any case."""
        protocol = self.connection()
        variables = {PARAMETERS: json.dumps(parameters)}
        # SIGTERM is delayed until the shell has a name, by which it can be deleted.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        with _alarm(self.timeout):
            shell = protocol.open_shell(codepage=_UTF8, env_vars=variables, idle_timeout=_IDLE)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            yield protocol, shell
        except BaseException:
            with suppress(Exception, _Late), _alarm(_DELETE_SECONDS):
                # The old connection may be in the middle of an answer.
                self.connection().close_shell(shell)
            raise
        with _alarm(_DELETE_SECONDS):
            protocol.close_shell(shell)

    def run(self, protocol: Protocol, shell: str, script: str) -> dict[str, Any]:
        """Run a script to its end."""
        printed, complained = bytearray(), bytearray()
        with _alarm(self.timeout):
            command = protocol.run_command(shell, encoded(script))
            while True:
                try:
                    out, err, code, done = protocol.get_command_output_raw(shell, command)
                except WinRMOperationTimeoutError:
                    continue  # no output yet; the alarm ends this
                printed += out
                complained += err
                if len(printed) + len(complained) > _MOST_BYTES:
                    raise Failure("too much")
                if done:
                    break
            protocol.cleanup_command(shell, command)
        return {"exit_code": code, "stdout": _text(printed), "stderr": _text(complained)}

    def hold(self, protocol: Protocol, shell: str, script: str) -> None:
        """Run a script until SIGTERM; its first line is reported at once. Raises Failure if it ends by itself."""
        with _alarm(self.timeout):
            command = protocol.run_command(shell, encoded(script))
        told, deadline = False, self.timeout
        while True:
            try:
                with _alarm(deadline):
                    out, err, code, done = protocol.get_command_output_raw(shell, command)
            except WinRMOperationTimeoutError:
                continue
            if not told and (out or done):
                _tell({"exit_code": code if done else 0, "stdout": _text(out), "stderr": _text(err)})
                told, deadline = True, _ASK_SECONDS + self.timeout
            if done:
                raise Failure("ended", _text(out) or _text(err))


def encoded(script: str) -> str:
    """The command that runs a script. Its exit code is the command's."""
    command = COMMAND + base64.b64encode(script.encode("utf-16-le")).decode("ascii")
    if len(command) > LONGEST_COMMAND:
        raise Failure("broken", f"the script is too long: its command has {len(command)} characters")
    return command


def main() -> None:
    """One request, and its answers."""
    with open(0, "rb", closefd=False) as stdin:
        request = json.load(stdin)
    os.environ.clear()
    os.environ["HOME"] = "/nonexistent"  # there is no .netrc
    signal.signal(signal.SIGALRM, _raise_late)
    signal.signal(signal.SIGTERM, _raise_stopped)
    conversation = Conversation(request)
    try:
        with _explained(), conversation.shell(request["parameters"]) as (protocol, shell):
            if request["hold"]:
                conversation.hold(protocol, shell, request["script"])
            else:
                _tell(conversation.run(protocol, shell, request["script"]))
    except Failure as failure:
        _tell({"failure": failure.kind, "detail": failure.detail[:2000]})
    except _Stopped:
        pass


@contextmanager
def _explained() -> Iterator[None]:
    """Turns whatever the libraries raise into a Failure."""
    try:
        yield
    except Failure:
        raise
    except _Late:
        raise Failure("late") from None
    except (InvalidCredentialsError, PermissionError) as error:
        raise Failure("refused", str(error)) from error
    except WSManFaultError as error:
        kind: Kind = "denied" if error.wsman_fault_code == _ACCESS_DENIED else "fault"
        raise Failure(kind, error.reason) from error
    except WinRMTransportError as error:
        raise Failure("broken", f"HTTP status {error.code}") from error
    except requests.exceptions.SSLError as error:
        detail = _innermost(error)
        raise Failure("certificate" if "CERTIFICATE_VERIFY_FAILED" in detail else "broken", detail) from error
    except (requests.exceptions.ConnectTimeout, requests.exceptions.ReadTimeout) as error:
        raise Failure("late") from error
    except requests.exceptions.ConnectionError as error:
        new = type(getattr(error.args[0], "reason", None)).__name__ in ("NewConnectionError", "NameResolutionError")
        raise Failure("away" if new else "broken", _innermost(error)) from error
    except Exception as error:
        raise Failure("broken", _innermost(error)) from error


def _innermost(error: BaseException) -> str:
    """The innermost cause: the errors around it say little."""
    while True:
        inner = error.__cause__ or error.__context__
        if inner is None:
            return f"{type(error).__name__}: {error}"
        error = inner


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Ends the block when it takes longer. Not to be nested."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _raise_late(_number: int, _frame: object) -> None:
    raise _Late


def _raise_stopped(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stopped


def _text(data: bytes | bytearray) -> str:
    return bytes(data).decode("utf-8", "replace").lstrip("\ufeff").strip()


def _tell(answer: Mapping[str, Any]) -> None:
    with suppress(BrokenPipeError), open(1, "wb", closefd=False) as pipe:
        pipe.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
