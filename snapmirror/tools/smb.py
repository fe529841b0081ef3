"""The first message of SMB: asks a server for its dialect, whether it encrypts, and its time. Runs no program.

No login, no mount, no root: the answer to NEGOTIATE ([MS-SMB2] 2.2.3 and 2.2.4) comes before all of that. For a
refused mount the kernel gives only a number, which is the same for a server that is too old and for one that does not
encrypt; this distinguishes them.
"""

from __future__ import annotations

import os
import socket
import struct
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from snapmirror.errors import StorageError

_TIMEOUT_SECONDS = 10.0
_HEADER = struct.Struct("<4sHHIHHIIQIIQ16s")
_DIALECTS = (0x0202, 0x0210, 0x0300, 0x0302, 0x0311)
_NEWEST = 0x0311
_PREAUTH, _ENCRYPTION = 1, 2  # kinds of negotiate contexts
_ENCRYPTS = 0x40  # the capability, as servers before 3.1.1 announce it
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


class Server(Struct, frozen=True):
    """An SMB server's description of itself."""

    dialect: str
    encrypts: bool
    time: datetime

    @property
    def is_new_enough(self) -> bool:
        """Whether it speaks SMB 3.1.1 (Windows 10, Server 2016, and later)."""
        return self.dialect == "3.1.1"


def ask(host: str, port: int) -> Server:
    """Query a server. Raises StorageError if it cannot be reached, or does not speak SMB 2 or 3."""
    where = f"{host} port {port}"
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as connection:
            connection.sendall(_request())
            answer = _receive(connection, _receive_length(connection))
    except socket.gaierror as error:
        raise unknown_host(host) from error
    except (OSError, EOFError) as error:
        raise away(where, str(error.strerror or error) if isinstance(error, OSError) else "") from error
    try:
        return _parse(answer)
    except (struct.error, ValueError) as error:
        raise StorageError(
            f"what answers on {where} does not speak SMB 2 or 3", hint="check unc and port in [share]"
        ) from error


def away(where: str, reason: str = "") -> StorageError:
    """The error for every place where a server does not answer."""
    return StorageError(
        f"the server of the share does not answer ({where}{': ' if reason else ''}{reason})",
        hint="is it running, on the network, and does its firewall let this machine in (File and Printer Sharing)?",
    )


def unknown_host(host: str) -> StorageError:
    """The error for every place where a name does not resolve."""
    return StorageError(
        f"the server of the share, {host}, is not known here",
        hint="write its IP address in unc of [share], or add its name to /etc/hosts",
    )


def _request() -> bytes:
    preauth = _context(_PREAUTH, struct.pack("<HHH", 1, 32, 1) + os.urandom(32))  # SHA-512, salt
    encryption = _context(_ENCRYPTION, struct.pack("<HHH", 2, 2, 1))  # AES-128 in GCM or CCM
    dialects = struct.pack(f"<{len(_DIALECTS)}H", *_DIALECTS)
    start = _aligned(_HEADER.size + 36 + len(dialects))
    body = struct.pack("<HHHHI16sIHH", 36, len(_DIALECTS), 1, 0, _ENCRYPTS, os.urandom(16), start, 2, 0) + dialects
    header = _HEADER.pack(b"\xfeSMB", 64, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, bytes(16))
    packet = (header + body).ljust(start, b"\0") + preauth.ljust(_aligned(len(preauth)), b"\0") + encryption
    return struct.pack(">I", len(packet)) + packet


def _context(kind: int, data: bytes) -> bytes:
    return struct.pack("<HHI", kind, len(data), 0) + data


def _aligned(length: int) -> int:
    return (length + 7) // 8 * 8


def _receive_length(connection: socket.socket) -> int:
    return int(struct.unpack(">I", _receive(connection, 4))[0] & 0xFFFFFF)


def _receive(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _parse(packet: bytes) -> Server:
    magic, _, _, status, command, *_ = _HEADER.unpack_from(packet)
    if magic != b"\xfeSMB" or command != 0 or status != 0:
        raise ValueError("not an answer to this request")
    _, _, dialect, contexts = struct.unpack_from("<HHHH", packet, 64)
    (capabilities,) = struct.unpack_from("<I", packet, 64 + 24)
    (ticks,) = struct.unpack_from("<Q", packet, 64 + 40)
    (offset,) = struct.unpack_from("<I", packet, 64 + 60)
    encrypts = _has_cipher(packet, offset, contexts) if dialect == _NEWEST else bool(capabilities & _ENCRYPTS)
    text = ".".join(f"{dialect:04x}".lstrip("0")).removesuffix(".0") if dialect != 0x0202 else "2.0.2"
    return Server(text, encrypts, _EPOCH + timedelta(microseconds=ticks // 10))


def _has_cipher(packet: bytes, offset: int, count: int) -> bool:
    for _ in range(count):
        kind, length, _ = struct.unpack_from("<HHI", packet, offset)
        if kind == _ENCRYPTION:
            return bool(struct.unpack_from("<HH", packet, offset + 8)[1])
        offset = _aligned(offset + 8 + length)
    return False
