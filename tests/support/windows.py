"""What a Windows host answers to the scripts that the package ships, and the certificates that it might have.

A stand-in, quick enough for the tests that go over the wire. The values are invented; the form of each answer is what
the scripts print when PowerShell runs them on doubles: tests/unit/test_host_scripts_run.py compares the two.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Windows:
    """What the scripts find on this host, and what they have done to it."""

    path: str = "D:\\Snapmirror\\snapmirror.img"
    image: dict[str, Any] | None = field(
        default_factory=lambda: {"size": 150 << 30, "sparse": True, "compressed": False}
    )
    volume: dict[str, Any] = field(default_factory=lambda: {"free": 900 << 30, "size": 2 << 40, "format": "NTFS"})
    folder_compressed: bool = False
    clock: timedelta = timedelta()
    sleep_seconds: int = 1800
    hibernate_seconds: int = 0
    wake_timers: int = 1
    restart_pending: bool = False
    event_source: bool = True
    server: dict[str, Any] = field(default_factory=lambda: {"encrypts": False, "smb1": False})
    share_encrypts: bool = True
    open: Any = None
    sessions: Any = field(default_factory=lambda: [{"client": "127.0.0.1", "dialect": "3.1.1"}])
    fragments: int = 812
    unknown: dict[str, str] = field(default_factory=dict)  # facts that this account may not see
    native: dict[str, tuple[int, str]] = field(default_factory=dict)  # scripts that fail, with code and sentence
    events: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    when: dict[str, Callable[[], None]] = field(default_factory=dict)  # what else happens when a script runs

    def answer(self, script: str, p: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Exit code and what is printed."""
        if script in self.when:
            self.when[script]()
        if script in self.native:
            code, sentence = self.native[script]
            return code, {"error": sentence}
        match script:
            case "system":
                now = (datetime.now(UTC) + self.clock).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
                return 0, self._facts(
                    "sleep_seconds", "hibernate_seconds", "wake_timers", "restart_pending", "event_source",
                    now=now, windows="10.0.20348.0",
                )  # fmt: skip
            case "image":
                return 0, self._facts("path", "volume", "folder_compressed", "image")
            case "sharing":
                return 0, self._facts("server", "share_encrypts", "open", "sessions")
            case "fragments":
                return 0, {"fragments": self.fragments}
            case "event":
                if not self.event_source:
                    return 1, {"error": 'The source name "snapmirror" does not exist on computer "localhost".'}
                self.events.append(p)
            case "event-source":
                self.event_source = True
            case "sparse":
                assert self.image is not None
                self.image["sparse"] = True
            case "uncompress":
                self.folder_compressed = False
            case "encrypt-share":
                self.share_encrypts = True
            case "task":
                self.tasks.append(p["task"])
        return 0, {"done": True}

    def _facts(self, *names: str, **more: Any) -> dict[str, Any]:
        facts = {**{name: getattr(self, name) for name in names}, **more}
        unknown = {name: why for name, why in self.unknown.items() if name in facts}
        return {"facts": {k: v for k, v in facts.items() if k not in unknown}, "unknown": unknown}


def make_certificate(file: Path, *names: str) -> Path:
    """A self-made certificate, with its key in the same file; as New-SelfSignedCertificate makes them."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2)).add_extension(x509.SubjectAlternativeName(alternatives), False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return file
