"""An rsync daemon that says whatever a test wants: the sending half of rsync's protocol 29, on loopback.

A real daemon cannot be made to lie. This one speaks an old, simple protocol that every rsync still takes, and its
`behave` is called with a `Session` for each connection. Extended attributes, ACLs and checksums by name need a newer
protocol: turn acls and xattrs off in the mirror.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import socketserver
import stat
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from snapmirror.snapshots.entry import key_of

FILE, FOLDER, SYMLINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
DATA, ERROR, INFO = 7, 10, 9  # tags of multiplexed frames; ERROR is what goes to the client's stderr
TIME = 1_000_000_000
_SAME_NAME, _LONG_NAME = 0x20, 0x40
_BASIS, _XNAME, _TRANSFER = 1 << 11, 1 << 12, 1 << 15
_DONE = b"\xff\xff\xff\xff"


class Session:
    """One client. `dry` is a listing; `wanted` are the names that it asks for (--files-from)."""

    def __init__(self, connection: socket.socket, motd: bytes) -> None:
        self._file = connection.makefile("rwb", buffering=1 << 16)
        self.raw(b"@RSYNCD: 29\n" + motd)
        self._flush()
        self._file.readline()
        self.module = self._file.readline().strip()
        self.raw(b"@RSYNCD: OK\n")
        self._flush()
        self.args = list(iter(lambda: self._file.readline().rstrip(b"\n"), b""))
        self.dry = any(word[:1] == b"-" and word[1:2] != b"-" and b"n" in word.partition(b"e")[0] for word in self.args)
        self.raw(struct.pack("<I", 1))  # the seed of checksums
        self._flush()
        while length := self._int():  # filters
            self._file.read(length)
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
        most = 0x8000 if tag == DATA else 1000
        for start in range(0, len(data), most):
            piece = data[start : start + most]
            self.raw(struct.pack("<I", tag << 24 | len(piece)) + piece)

    def say(self, text: bytes, tag: int = INFO) -> None:
        """A message, at once."""
        self.frame(text, tag)
        self._flush()

    def entry(self, name: bytes, mode: int, size: int = 0, *, mtime: int = TIME, target: bytes = b"") -> None:
        """One entry of the file list. Send the root (`.`) first."""
        self.names.append(name)
        self.frame(self.packed(name, mode, size, mtime=mtime, target=target))

    @staticmethod
    def packed(name: bytes, mode: int, size: int = 0, *, mtime: int = TIME, target: bytes = b"") -> bytes:
        """The same as bytes."""
        huge = size > 0x7FFFFFFF
        return b"".join(
            (
                bytes([_LONG_NAME]), struct.pack("<I", len(name)), name,
                struct.pack("<iQ", -1, size) if huge else struct.pack("<i", size),
                struct.pack("<IIII", mtime, mode, 0, 0),
                struct.pack("<I", len(target)) + target if stat.S_ISLNK(mode) else b"",
            )
        )  # fmt: skip

    def end_list(self) -> None:
        """The file list is complete, without errors. The client sorts it: so do the numbers of requests."""
        self.frame(b"\0" + struct.pack("<I", 0))
        self._flush()

    def tree(self, entries: Mapping[bytes, tuple[int, int]]) -> None:
        """Be honest: send a tree of names (with mode and size), or what is wanted of it, with contents of x."""
        names = {b".": (FOLDER, 0), **entries}
        if not self.dry:
            asked = self.wanted or [b"."]
            folders = [name[: name.index(b"/")] for name in asked if name.count(b"/") == 1 and b".." not in name]
            names = {name: names[name] for name in dict.fromkeys([*folders, *asked]) if name in names}
        for name, (mode, size) in names.items():
            self.entry(name, mode, size)
        self.end_list()
        sizes = [names[name][1] for name in _sorted(names)]
        self.serve(lambda number: iter([b"x" * sizes[number]]))

    # -- what is asked for ---------------------------------------------------------------------------------------

    def serve(self, content: Callable[[int], Iterator[bytes]]) -> None:
        """Answer all requests and say goodbye; `content` gives the pieces of an entry (by number) that is asked for."""
        done = 0
        while True:
            head = self._file.read(4)
            if len(head) < 4:
                return
            if head == _DONE:
                done += 1
                self.frame(_DONE)
                self._flush()
                if done > 2:
                    break
                continue
            self._answer(head, content)
        self.frame(b"\0" * 20)  # statistics
        self._flush()
        self._file.read(4)

    def _answer(self, number: bytes, content: Callable[[int], Iterator[bytes]]) -> None:
        flags = self._file.read(2)
        (bits,) = struct.unpack("<H", flags)
        extra = self._file.read(1) if bits & _BASIS else b""
        if bits & _XNAME:
            length = self._file.read(1)
            more = self._file.read(1) if length[0] & 0x80 else b""
            size = (length[0] & 0x7F) << 8 | more[0] if more else length[0]
            extra += length + more + self._file.read(size)
        self.frame(number + flags + extra)
        if bits & _TRANSFER and not self.dry:
            count, _, length2, _ = struct.unpack("<4i", self._file.read(16))
            self._file.read(count * (4 + length2))
            self.frame(struct.pack("<4i", 0, 700, 16, 0))
            digest = hashlib.md5(usedforsecurity=False)
            for piece in content(struct.unpack("<i", number)[0]):
                digest.update(piece)
                self.frame(struct.pack("<i", len(piece)) + piece)
            self.frame(struct.pack("<i", 0) + digest.digest())
        self._flush()

    def _int(self) -> int:
        data = self._file.read(4)
        return int(struct.unpack("<i", data)[0]) if len(data) == 4 else 0

    def _until_nul(self) -> bytes:
        name = b""
        while (letter := self._file.read(1)) not in (b"\0", b""):
            name += letter
        return name

    def _flush(self) -> None:
        self._file.flush()


def _sorted(names: Mapping[bytes, tuple[int, int]]) -> list[bytes]:
    """The client's order, by which it numbers them."""
    return sorted(names, key=lambda name: key_of(name, is_directory=stat.S_ISDIR(names[name][0])))


Behave = Callable[[Session], None]


@contextmanager
def daemon_running(behave: Behave, *, motd: bytes = b"") -> Iterator[str]:
    """A daemon is running; its address as `source` takes it. The client's going away ends `behave`."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError, struct.error):
                behave(Session(self.request, motd))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"rsync://127.0.0.1:{server.server_address[1]}/data"
        finally:
            server.shutdown()
            thread.join()
