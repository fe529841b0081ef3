"""A sender that says whatever a test wants: the sending half of rsync's protocol, as a daemon on loopback or below ssh.

A real server cannot be made to lie. `behave` is called with a `Session` for each connection; it runs in the test's own
process in both cases. In protocol 29 extended attributes, ACLs and checksums by name do not exist: turn acls and xattrs
off in the mirror, or ask for protocol 31.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import socketserver
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from snapmirror.snapshots.entry import key_of
from tests.support.evil_wire import (
    DATA,
    DONE,
    ERROR,
    FILE,
    FOLDER,
    INFO,
    SYMLINK,
    TIME,
    WIRES,
    Compressed,
    Entry,
    Options,
    Plain,
)

__all__ = ["DATA", "ERROR", "FILE", "FOLDER", "INFO", "SYMLINK", "TIME", "Behave", "Entry", "Order", "Request",
           "Session", "daemon_running", "program_running", "sort_key"]  # fmt: skip
_BASIS, _XNAME, _TRANSFER, _XATTRS, _LOCAL = 1 << 11, 1 << 12, 1 << 15, 1 << 8, 1 << 14


@dataclass(frozen=True)
class Request:
    """What a client asks for: the entry with a number; `rest` is repeated in the answer. `fails`: the answer's content
    does not pass rsync's check."""

    number: int
    rest: bytes
    is_for_content: bool
    fails: bool = False


Order = Callable[[list[Request]], Iterable[Request]]


class Session:
    """One client. `dry` is a listing; `wanted` are the names that it asks for (--files-from)."""

    def __init__(self, file: IO[bytes], args: list[bytes], protocol: int) -> None:
        self._file, self.args = file, args
        self.options = Options.of(args)
        self.dry = self.options.dry
        self._wire = WIRES[protocol](file, self.options)
        self.raw(self._wire.start + struct.pack("<I", 1))  # the seed of checksums
        self._flush()
        self.filters: list[bytes] = []
        while length := self._wire.read_int():
            self.filters.append(self._wire.read(length))
        self.wanted: list[bytes] = []
        if b"--from0" in self.args:
            while name := self._until_nul():
                self.wanted.append(name.removeprefix(b"./"))
        self.names: list[bytes] = []

    # -- what is sent --------------------------------------------------------------------------------------------

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._file.write(data)

    def frame(self, data: bytes, tag: int = DATA) -> None:
        """A frame of the multiplexed stream: data of the protocol, or a message to the client's user."""
        self._wire.frame(data, tag)

    def say(self, text: bytes, tag: int = INFO) -> None:
        """A message, at once."""
        self.frame(text, tag)
        self._flush()

    def entry(self, name: bytes, mode: int, size: int = 0, *, mtime: int = TIME, target: bytes = b"") -> None:
        """One entry of the file list. Send the root (`.`) first."""
        self.send(name, Entry(mode, size=size, mtime=mtime, target=target))

    def send(self, name: bytes, entry: Entry) -> None:
        """The same with all that an entry can have."""
        self.names.append(name)
        self.frame(self._wire.entry(name, entry))

    def packed(self, name: bytes, mode: int, size: int = 0, *, mtime: int = TIME, target: bytes = b"") -> bytes:
        """The same as bytes."""
        return self._wire.entry(name, Entry(mode, size=size, mtime=mtime, target=target))

    def end_list(self) -> None:
        """The file list is complete, without errors. The client sorts it: so do the numbers of requests."""
        self.frame(self._wire.end_of_list())
        self._flush()

    def tree(self, entries: Mapping[bytes, tuple[int, int]]) -> None:
        """Be honest: send a tree of names (with mode and size), or what is wanted of it, with contents of x."""
        names = {b".": (FOLDER, 0), **entries}
        if not self.dry and not self.options.recursive:
            asked = self.wanted or [b"."]
            folders = [name[: name.index(b"/")] for name in asked if name.count(b"/") == 1 and b".." not in name]
            names = {name: names[name] for name in dict.fromkeys([*folders, *asked]) if name in names}
        for name, (mode, size) in names.items():
            self.entry(name, mode, size)
        self.end_list()
        sizes = [names[name][1] for name in sorted(names, key=lambda name: sort_key(name, names[name][0]))]
        self.serve(lambda number: iter([b"x" * sizes[number]]))

    # -- what is asked for ---------------------------------------------------------------------------------------

    def serve(self, content: Callable[[int], Iterator[bytes]], order: Order | None = None) -> None:
        """Answer all requests and say goodbye; `content` gives the pieces of an entry (by number) that is asked for.

        `order` is given all requests of a round, and returns the answers to be sent. (The second round are the contents
        that have failed their check.)
        """
        done, round_ = 0, list[Request]()
        while (number := self._wire.read_number()) is not None:
            if number != DONE:
                round_.append(self._request(number))
            if order is None or number == DONE:
                for request in round_ if order is None else order(round_):
                    self._answer(request, content)
                round_ = []
            if number != DONE:
                continue
            done += 1
            self.frame(self._wire.number(DONE))
            self._flush()
            if done > 2:
                self._wire.goodbye()
                return

    def _request(self, number: int) -> Request:
        flags = self._wire.read(2)
        (bits,) = struct.unpack("<H", flags)
        extra = self._wire.read(1) if bits & _BASIS else b""
        if bits & _XNAME:
            length = self._wire.read(1)
            more = self._wire.read(1) if length[0] & 0x80 else b""
            size = (length[0] & 0x7F) << 8 | more[0] if more else length[0]
            extra += length + more + self._wire.read(size)
        if bits & _XATTRS and self.options.xattrs and not self.dry:
            extra += self._wire.read_wanted_xattrs()
        is_for_content = bool(bits & _TRANSFER) and not self.dry
        if is_for_content:
            count, _, length2, _ = struct.unpack("<4i", self._wire.read(16))
            self._wire.read(count * (4 + length2))
        return Request(number, flags + extra, is_for_content)

    def _answer(self, request: Request, content: Callable[[int], Iterator[bytes]]) -> None:
        self.frame(self._wire.number(request.number) + request.rest)
        if request.is_for_content:
            self.frame(struct.pack("<4i", 0, 700, 16, 0))
            digest, sent = hashlib.md5(usedforsecurity=False), Compressed() if self.options.compress else Plain()
            for piece in filter(None, content(request.number)):  # a piece of no bytes would be the end
                digest.update(piece)
                self.frame(sent.piece(piece))
            self.frame(sent.end() + (bytes(16) if request.fails else digest.digest()))
        self._flush()

    def _until_nul(self) -> bytes:
        name = b""
        while (letter := self._wire.read(1)) not in (b"\0", b""):
            name += letter
        return name

    def _flush(self) -> None:
        self._file.flush()


def sort_key(name: bytes, mode: int) -> bytes:
    """The client's order, by which it numbers entries."""
    return key_of(name, is_directory=stat.S_ISDIR(mode))


Behave = Callable[[Session], None]


@contextmanager
def daemon_running(behave: Behave, *, motd: bytes = b"", protocol: int = 29) -> Iterator[str]:
    """A daemon is running; its address as `source` takes it. The client's going away ends `behave`."""

    def greeted(file: IO[bytes]) -> None:
        file.write((b"@RSYNCD: 29\n" if protocol < 30 else b"@RSYNCD: %d.0 md5\n" % protocol) + motd)
        file.flush()
        file.readline()
        file.readline()  # the module
        file.write(b"@RSYNCD: OK\n")
        file.flush()
        behave(Session(file, _words(file, b"\n" if protocol < 30 else b"\0"), protocol))

    with _listening(greeted) as port:
        yield f"rsync://127.0.0.1:{port}/data"


@contextmanager
def program_running(behave: Behave, folder: Path, *, protocol: int = 29) -> Iterator[str]:
    """The same for a login: a command that stands for `rsync --server --sender` (as `rsync_path`, or as a forced one).

    The command hands its arguments and its streams to this process. It lies in `folder`.
    """

    def greeted(file: IO[bytes]) -> None:
        args = _words(file, b"\0")
        file.write(struct.pack("<I", protocol))
        file.flush()
        file.read(4)
        behave(Session(file, args, protocol))

    with _listening(greeted) as port:
        relay = folder / "relay.py"
        relay.write_text(_RELAY)
        yield f"{sys.executable} -I -S {relay} {port}"


_RELAY = """
import os, socket, sys, threading
args = os.environ.get("SSH_ORIGINAL_COMMAND", "").split()[1:] or sys.argv[2:]
line = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
line.sendall(b"".join(os.fsencode(word) + b"\\0" for word in args) + b"\\0")
def up():
    while data := os.read(0, 65536):
        line.sendall(data)
    line.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := line.recv(65536):
    sys.stdout.buffer.raw.write(data)
"""


def _words(file: IO[bytes], end: bytes) -> list[bytes]:
    """What comes before an empty word. Each ends with `end`."""
    words, word = list[bytes](), b""
    while letter := file.read(1):
        if letter != end:
            word += letter
        elif not word:
            break
        else:
            words.append(word)
            word = b""
    return words


@contextmanager
def _listening(greeted: Callable[[IO[bytes]], None]) -> Iterator[int]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connection: socket.socket = self.request
            with contextlib.suppress(OSError, struct.error), _stream(connection) as file:
                greeted(file)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _stream(connection: socket.socket) -> IO[bytes]:
    return cast(IO[bytes], connection.makefile("rwb", buffering=1 << 16))
