"""A Windows host on loopback, as far as WinRM shows it: WS-Management over TLS or with NTLM's message encryption.

A double, and no Windows: there is no PowerShell. (Another client, pypsrp 0.9, gets on with it as pywinrm does.) It
answers only scripts that the package ships, letter by letter, and takes parameters only where they belong: in the one
environment variable of the shell, under names that the script reads. What it answers is Windows' (see there). `mode`
makes it misbehave. What it should not have seen is in `refused`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import ssl
import struct
import threading
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import spnego

from tests.support.waiting import until
from tests.support.windows import Windows, make_certificate

SCRIPTS = Path(__file__).resolve().parents[2] / "snapmirror" / "windows" / "scripts"
USER, PASSWORD = "snapmirror", "correct horse; 'battery' \"staple\" %PATH% ü"
_LONGEST_COMMAND = 8191
_ENVELOPE = "http://www.w3.org/2003/05/soap-envelope"
_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_OPERATION_TIMEOUT = 2150858793
_MIME = b"--Encrypted Boundary"
_ENCRYPTED = "application/HTTP-SPNEGO-session-encrypted"


@dataclass
class Shell:
    """A shell that is there."""

    parameters: dict[str, Any]
    commands: dict[str, str] = field(default_factory=dict)  # the script of each
    answered: set[str] = field(default_factory=set)
    pieces: int = 0


@dataclass
class WinRM:
    """The double. `mode` and `windows` may be changed at will."""

    folder: Path
    tls: bool = True
    windows: Windows = field(default_factory=Windows)
    mode: str = ""
    garbage: str = ""  # what is answered to everything in the mode "garbage"
    printed: str = ""  # what a script prints in the mode "prints"
    shells: dict[str, Shell] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)  # good and bad ones
    connections: int = 0
    port: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def ca_file(self) -> Path:
        return self.folder / "host.pem"

    def certificate_hash(self) -> bytes:
        der = ssl.PEM_cert_to_DER_cert(self.ca_file.read_text().partition("-----BEGIN PRIVATE KEY")[0])
        return hashlib.sha256(der).digest()

    def scripts(self) -> list[str]:
        """The scripts that have been run, in their order."""
        return [name for name, _ in self.calls]

    # -- the service

    def create(self, envelope: ET.Element) -> str:
        variables = {v.attrib["Name"]: v.text or "" for v in envelope.iter(f"{{{_SHELL}}}Variable")}
        if set(variables) != {"SNAPMIRROR_PARAMETERS"} or not variables["SNAPMIRROR_PARAMETERS"].isascii():
            self.refused.append(f"a shell with the variables {variables}")
        if not envelope.findtext(f".//{{{_SHELL}}}IdleTimeOut"):
            self.refused.append("a shell that nobody would ever delete")
        shell = str(uuid.uuid4()).upper()
        self.shells[shell] = Shell(json.loads(variables["SNAPMIRROR_PARAMETERS"]))
        return (
            f'<x:ResourceCreated><a:ReferenceParameters><w:SelectorSet><w:Selector Name="ShellId">{shell}'
            "</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>"
        )

    def command(self, shell: Shell, envelope: ET.Element) -> str:
        words = [*envelope.iter(f"{{{_SHELL}}}Command"), *envelope.iter(f"{{{_SHELL}}}Arguments")]
        line = " ".join(word.text or "" for word in words)
        script = self._shipped(line, shell.parameters)
        if script is None:
            raise Fault(5, "Access is denied.")
        command = str(uuid.uuid4()).upper()
        shell.commands[command] = script
        self.calls.append((script, shell.parameters))
        return f"<rsp:CommandResponse><rsp:CommandId>{command}</rsp:CommandId></rsp:CommandResponse>"

    def receive(self, shell: Shell, envelope: ET.Element) -> str:
        command = next(envelope.iter(f"{{{_SHELL}}}DesiredStream")).attrib["CommandId"]
        script = shell.commands[command]
        if self.mode == "a script that never ends":
            self.closing.wait(0.3)
            raise Fault(_OPERATION_TIMEOUT, "The operation timed out.")
        if self.mode == "5 MB":
            return _streams(command, b"x" * (5 << 20), 0)
        if self.mode == "5 MB in pieces":
            shell.pieces += 1
            return _streams(command, b"x" * 100_000, 0 if shell.pieces == 52 else None)
        if self.mode == "prints":
            return _streams(command, self.printed.encode(), 0)
        if script == "awake":
            if command not in shell.answered:
                shell.answered.add(command)
                return _streams(command, b'{"done":true}\r\n', None)
            if self.mode == "falls asleep":
                return _streams(command, b"", 1)
            self.closing.wait(0.3)
            raise Fault(_OPERATION_TIMEOUT, "The operation timed out.")
        code, answer = self.windows.answer(script, shell.parameters)
        return _streams(command, json.dumps(answer, ensure_ascii=False).encode() + b"\r\n", code)

    def _shipped(self, line: str, parameters: dict[str, Any]) -> str | None:
        match = re.fullmatch(r"powershell\.exe( -\w+( (Text|Bypass))?)* -EncodedCommand ([A-Za-z0-9+/=]+)", line)
        if match is None or len(line) > _LONGEST_COMMAND:
            self.refused.append(f"a command of {len(line)} characters: {line[:80]}")
            return None
        text = base64.b64decode(match[4]).decode("utf-16-le")
        shipped = {path.read_text(encoding="utf-8"): path.stem for path in SCRIPTS.glob("*.ps1")}
        if text not in shipped:
            self.refused.append(f"a script that is not shipped: {text[:80]}")
            return None
        known = set(re.findall(r"\$p\.(\w+)", text))
        if set(parameters) - known or not all(isinstance(v, str | int) or v is None for v in parameters.values()):
            self.refused.append(f"parameters {parameters} for {shipped[text]}, which knows {known}")
            return None
        return shipped[text]


class Fault(Exception):  # noqa: N818  (the name that WS-Management has for it)
    """A fault of WS-Management."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class _Handler(BaseHTTPRequestHandler):
    """One connection; NTLM logs a connection in, not a request."""

    protocol_version = "HTTP/1.1"
    winrm: ClassVar[WinRM]

    def setup(self) -> None:
        super().setup()
        self.winrm.connections += 1
        self.login: Any = None

    def handle(self) -> None:
        with suppress(OSError, ssl.SSLError):  # a client that does not trust us, or has heard enough
            super().handle()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/wsman":
            self.winrm.refused.append(f"a request for {self.path}")
        match self.winrm.mode:
            case "hangs":
                self.winrm.closing.wait()
                self.close_connection = True
            case "closes":
                self.close_connection = True
            case "closes half way":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<s:Env")
                self.close_connection = True
            case "drips":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not self.winrm.closing.wait(0.1):
                    self.wfile.write(b" ")
                self.close_connection = True
            case "never stops sending":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
                while not self.winrm.closing.is_set():
                    self.wfile.write(b" " * 100_000)
            case "redirects":
                self._send(
                    307,
                    b"",
                    ("Location", f"{'https' if self.winrm.tls else 'http'}://127.0.0.1:{self.winrm.port}/elsewhere"),
                )
            case "is a web server":
                self._send(404, b"<html>Not Found</html>")
            case _:
                if self._logged_in():
                    self._serve(body)

    def _logged_in(self) -> bool:
        said = self.headers.get("Authorization", "")
        if said.startswith("Basic ") and self.winrm.tls:
            user, _, password = base64.b64decode(said[6:]).decode("latin-1").partition(":")
            good = (user, password) == (USER, PASSWORD)
            self.winrm.logins.append(f"Basic {'good' if good else 'bad'}")
            if good:
                return True
        elif said.endswith("/secprofile/https/mutual") and self.winrm.tls:
            certificate = self.connection.getpeercert()
            self.winrm.logins.append(f"certificate {'good' if certificate else 'bad'} {self.connection.version()}")
            if certificate:
                return True
        elif said.startswith("Negotiate "):
            return self._ntlm(base64.b64decode(said[10:]))
        elif said:
            self.winrm.refused.append(f"a login by {said[:20]}")
        elif self.login is not None and self.login.complete:
            return True
        self._send(401, b"", ("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", 'Basic realm="WSMAN"'))
        return False

    def _ntlm(self, token: bytes) -> bool:
        bindings = None
        if self.winrm.tls:
            digest = b"tls-server-end-point:" + self.winrm.certificate_hash()
            bindings = spnego.channel_bindings.GssChannelBindings(application_data=digest)
        if self.login is None or self.login.complete:
            options = spnego.NegotiateOptions.use_ntlm
            self.login = spnego.server(protocol="ntlm", options=options, channel_bindings=bindings)
        try:
            answer = self.login.step(token)
        except spnego.exceptions.SpnegoError:
            self.login = None
            self.winrm.logins.append("NTLM bad")
            self._send(401, b"", ("WWW-Authenticate", "Negotiate"))
            return False
        if answer:
            self._send(401, b"", ("WWW-Authenticate", "Negotiate " + base64.b64encode(answer).decode()))
            return False
        self.winrm.logins.append("NTLM good")
        return True

    def _serve(self, body: bytes) -> None:
        encrypted = _ENCRYPTED in self.headers.get("Content-Type", "")
        if not body:  # a login before the first message that is encrypted
            self._send(200, b"")
            return
        if not self.winrm.tls and not encrypted:
            self.winrm.refused.append(f"in clear: {body[:80]!r}")
            self._send(500, b"")
            return
        envelope = ET.fromstring(self._decrypted(body) if encrypted else body)
        message = envelope.findtext(f".//{{{_ADDRESSING}}}MessageID") or ""
        status, answer = 200, ""
        try:
            answer = self._answer(envelope)
        except Fault as fault:
            status = 500
            answer = (
                "<s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code>"
                f'<s:Reason><s:Text xml:lang="en-US">{fault.reason}</s:Text></s:Reason><s:Detail>'
                f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{fault.code}"/>'
                "</s:Detail></s:Fault>"
            )
        text = (
            f'<s:Envelope xmlns:s="{_ENVELOPE}" xmlns:a="{_ADDRESSING}" '
            f'xmlns:x="{_TRANSFER}" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="{_SHELL}">'
            f"<s:Header><a:RelatesTo>{message}</a:RelatesTo></s:Header><s:Body>{answer}</s:Body></s:Envelope>"
        ).encode()
        if encrypted and self.winrm.mode != "in clear":
            kind = f'multipart/encrypted;protocol="{_ENCRYPTED}";boundary="Encrypted Boundary"'
            self._send(status, self._encrypted(text), ("Content-Type", kind))
        else:
            self._send(status, text, ("Content-Type", "application/soap+xml;charset=UTF-8"))

    def _answer(self, envelope: ET.Element) -> str:
        action = (envelope.findtext(".//{http://schemas.xmlsoap.org/ws/2004/08/addressing}Action") or "").rpartition(
            "/"
        )[2]
        if self.winrm.mode == "garbage":
            return self.winrm.garbage
        if self.winrm.mode == "fault":
            raise Fault(2150859174, "The WS-Management service cannot process the request: quota exceeded.")
        if self.winrm.mode == "denies":
            raise Fault(5, "Access is denied.")
        if action == "Create":
            return self.winrm.create(envelope)
        selector = next((node.text or "" for node in envelope.iter() if node.attrib.get("Name") == "ShellId"), "")
        if selector not in self.winrm.shells:
            raise Fault(2150858843, "The shell was not found.")
        shell = self.winrm.shells[selector]
        match action:
            case "Command":
                return self.winrm.command(shell, envelope)
            case "Receive":
                return self.winrm.receive(shell, envelope)
            case "Signal":
                return "<rsp:SignalResponse/>"
            case "Delete":
                del self.winrm.shells[selector]
                return ""
        raise Fault(2150858752, f"unknown action {action}")

    def _decrypted(self, body: bytes) -> bytes:
        payload = body.split(b"application/octet-stream\r\n", 1)[1].removesuffix(_MIME + b"--\r\n")
        length = struct.unpack("<i", payload[:4])[0]
        assert length == 16
        return bytes(self.login.unwrap(payload[4:]).data)

    def _encrypted(self, text: bytes) -> bytes:
        sealed = bytes(self.login.wrap(text).data)
        return (
            _MIME + b"\r\n\tContent-Type: " + _ENCRYPTED.encode() + b"\r\n\tOriginalContent: "
            b"type=application/soap+xml;charset=UTF-8;Length=" + str(len(text)).encode() + b"\r\n" + _MIME
            + b"\r\n\tContent-Type: application/octet-stream\r\n" + struct.pack("<i", 16) + sealed + _MIME + b"--\r\n"
        )  # fmt: skip

    def _send(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that has gone away is no news."""


def _streams(command: str, printed: bytes, code: int | None) -> str:
    state = "Running" if code is None else "Done"
    ended = "" if code is None else f"<rsp:ExitCode>{code}</rsp:ExitCode>"
    text = base64.b64encode(printed).decode()
    return (
        f'<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="{command}">{text}</rsp:Stream>'
        f'<rsp:CommandState CommandId="{command}" State="{_SHELL}/CommandState/{state}">{ended}</rsp:CommandState>'
        "</rsp:ReceiveResponse>"
    )


@contextmanager
def winrm_running(folder: Path, *, tls: bool = True, client_ca: Path | None = None) -> Iterator[WinRM]:
    """The double, on a port of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    winrm = WinRM(folder, tls)
    make_certificate(winrm.ca_file, "winhost", "127.0.0.1")
    users = folder / "users"
    users.write_text(f":{USER}:{PASSWORD}\nWORK:{USER}:{PASSWORD}\n", encoding="utf-8")
    before = os.environ.get("NTLM_USER_FILE")
    os.environ["NTLM_USER_FILE"] = str(users)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"winrm": winrm}))
    winrm.port = server.server_port
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(winrm.ca_file)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(client_ca)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield winrm
    finally:
        winrm.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
        if before is None:
            del os.environ["NTLM_USER_FILE"]
        else:
            os.environ["NTLM_USER_FILE"] = before


def settled(winrm: WinRM) -> None:
    """Nothing was asked that should not be asked, and nothing was left behind."""
    until(lambda: not winrm.shells, "no shell is left", seconds=10)
    assert not winrm.refused, winrm.refused
