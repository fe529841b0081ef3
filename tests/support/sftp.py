"""A client of sftp that asks for what it is told to, letter by letter: names of any bytes, of any kind of file.

OpenSSH's own looks at a name first, and asks for no device. Protocol 3, draft-ietf-secsh-filexfer-02.
"""

from __future__ import annotations

import stat
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO

_INIT, _OPEN, _CLOSE, _READ, _LSTAT, _OPENDIR, _READDIR = 1, 3, 4, 5, 7, 11, 12
_REALPATH, _STAT, _READLINK, _EXTENDED = 16, 17, 19, 200
_STATUS, _HANDLE, _DATA, _NAME, _ATTRIBUTES = 101, 102, 103, 104, 105
OPEN_READ, OPEN_WRITE, OPEN_CREATE = 1, 2, 8
OK, END = 0, 1


class RefusedError(Exception):
    """The server has answered with a status; `code` says which."""

    def __init__(self, code: int, told: bytes) -> None:
        super().__init__(f"{code}: {told.decode(errors='replace')}")
        self.code = code


class Sftp:
    """A session with the server that `argv` starts or reaches."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin and self._process.stdout
        self._out: IO[bytes] = self._process.stdin
        self._in: IO[bytes] = self._process.stdout
        self._send(_INIT, struct.pack(">I", 3))
        self._receive()

    def __enter__(self) -> Sftp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(BrokenPipeError):
            self._out.close()
        self._in.close()
        self._process.wait()

    def read(self, path: bytes, most: int = 1 << 16) -> bytes:
        """The beginning of whatever has that name."""
        handle = self._handle(_OPEN, _text(path) + struct.pack(">II", OPEN_READ, 0))
        try:
            return self._text_of(_READ, _text(handle) + struct.pack(">QI", 0, most))
        except RefusedError as error:
            if error.code != END:
                raise
            return b""
        finally:
            self._ask(_CLOSE, _text(handle))

    def write(self, path: bytes, flags: int = OPEN_WRITE | OPEN_CREATE) -> None:
        """Open for writing, and no more."""
        self._ask(_CLOSE, _text(self._handle(_OPEN, _text(path) + struct.pack(">II", flags, 0))))

    def listed(self, path: bytes) -> list[bytes]:
        """The names in a folder, without . and .."""
        handle = self._handle(_OPENDIR, _text(path))
        names: list[bytes] = []
        try:
            while True:
                names += self._names(_READDIR, _text(handle))
        except RefusedError as error:
            if error.code != END:
                raise
        finally:
            self._ask(_CLOSE, _text(handle))
        return [name for name in names if name not in (b".", b"..")]

    def mode(self, path: bytes) -> int:
        """Of the name itself, not of what it leads to."""
        _, body = self._ask(_LSTAT, _text(path))
        [flags] = struct.unpack_from(">I", body)
        [mode] = struct.unpack_from(">I", body, 4 + 8 * bool(flags & 1) + 8 * bool(flags & 2))
        return int(mode)

    def real_path(self, path: bytes) -> bytes:
        [name] = self._names(_REALPATH, _text(path))
        return name

    def link(self, path: bytes) -> bytes:
        [name] = self._names(_READLINK, _text(path))
        return name

    def extended(self, name: bytes, *texts: bytes) -> None:
        """One of OpenSSH's own requests, such as hardlink@openssh.com."""
        self._ask(_EXTENDED, _text(name) + b"".join(map(_text, texts)))

    def walk(self, path: bytes) -> Iterator[bytes]:
        """Every name below a folder that is no folder."""
        for name in self.listed(path):
            inner = path.rstrip(b"/") + b"/" + name
            if stat.S_ISDIR(self.mode(inner)):
                yield from self.walk(inner)
            else:
                yield inner

    def _handle(self, kind: int, body: bytes) -> bytes:
        return self._text_of(kind, body)

    def _text_of(self, kind: int, body: bytes) -> bytes:
        _, answer = self._ask(kind, body)
        return _take(answer, 0)[0]

    def _names(self, kind: int, body: bytes) -> list[bytes]:
        _, answer = self._ask(kind, body)
        [count] = struct.unpack_from(">I", answer)
        names, place = [], 4
        for _ in range(count):
            name, place = _take(answer, place)
            _, place = _take(answer, place)  # as `ls -l` would show it
            [flags] = struct.unpack_from(">I", answer, place)
            assert flags < 0x80000000
            place += 4 + 8 * bool(flags & 1) + 8 * bool(flags & 2) + 4 * bool(flags & 4) + 8 * bool(flags & 8)
            names.append(name)
        return names

    def _ask(self, kind: int, body: bytes) -> tuple[int, bytes]:
        self._send(kind, struct.pack(">I", 7) + body)
        answer, content = self._receive()
        content = content[4:]
        if answer == _STATUS:
            [code] = struct.unpack_from(">I", content)
            if code != OK:
                raise RefusedError(code, _take(content, 4)[0])
        return answer, content

    def _send(self, kind: int, body: bytes) -> None:
        with suppress(BrokenPipeError):  # `_exactly` says so
            self._out.write(struct.pack(">IB", len(body) + 1, kind) + body)
            self._out.flush()

    def _receive(self) -> tuple[int, bytes]:
        [length] = struct.unpack(">I", self._exactly(4))
        content = self._exactly(length)
        return content[0], content[1:]

    def _exactly(self, count: int) -> bytes:
        content = self._in.read(count)
        assert len(content) == count, "the server has ended the session"
        return content


def _text(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _take(content: bytes, place: int) -> tuple[bytes, int]:
    [length] = struct.unpack_from(">I", content, place)
    return content[place + 4 : place + 4 + length], place + 4 + length
