"""Commands that need not start Python anew: a process has imported the program, and forks for each command.

Starting Python and importing the program takes 0.25 s of the processor, of the 0.35 s of a small night; a test suite
runs thousands. A forked command is a process as any other: session, streams, environment, working folder and exit code
of its own, and the kernel shows its command line and environment as those of `python -m snapmirror` (who holds a lock,
what is left over). It runs `snapmirror.__main__` from its first line.

What only a real start can show stays with real starts: the first command of each kind in a file of tests (imports in
the order of that command), every command in the background, under another program, of another user, or in another
environment. A server ends with its file of tests, so that the seed of Python's hashes changes.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import re
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

REPOSITORY = Path(__file__).resolve().parents[2]
OF_ONE_COMMAND = frozenset({"PATH", "TMPDIR", "SNAPMIRROR_TEST_SCENE", "PYTEST_CURRENT_TEST"})
"""Variables that the program reads when it runs, never when it is imported: they may differ from command to command."""
_LATER = ("_strptime", "concurrent.futures.thread", "encodings.idna", "encodings.utf_8_sig", "psutil",
          "pydantic.type_adapter", "typer._adapters", "typer._click.decorators")  # fmt: skip
"""What commands import beside the modules of the program."""
_WORD = re.compile(r"-?-?[a-z][a-z-]*")
_PROGRAMS = frozenset({"snapmirror.__main__", "snapmirror.tools.wsman"})
_MOST_BYTES = 128 << 10
_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
_kept: list[object] = []  # what the kernel shows must stay where it is


@dataclass(frozen=True)
class Ended:
    """How a command ended. `exit_code` is negative for a signal."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class StillRunning(Exception):  # noqa: N818
    """A command did not end in time; it was killed."""

    def __init__(self, ended: Ended) -> None:
        super().__init__("the command did not end in time")
        self.ended = ended


def environment_of_commands() -> dict[str, str]:
    """The variables of every command: those of the tests, without settings for the tests or for rsync."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SNAPMIRROR", "RSYNC"))}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}


class ForkServer:
    """The process that forks, as its user sees it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd="/",
                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def run(
        self, argv: Sequence[str], environment: Mapping[str, str], timeout: float, tracer: Sequence[str] = ()
    ) -> Ended:
        """Run `python -m snapmirror …` to its end, and until nobody has its streams open any more.

        `tracer` is an strace that sees all of it, from its first line on, and is waited for as well.
        """
        pipes = [os.pipe() for _ in range(3)]
        waits, go = os.pipe()
        with open(go, "wb") as gate:
            try:
                request = json.dumps([list(argv), dict(environment)]).encode()
                socket.send_fds(self._control, [request], [*(write for _, write in pipes), waits])
            finally:
                for descriptor in (*(write for _, write in pipes), waits):
                    os.close(descriptor)
            pid = os.read(pipes[2][0], 20)
            tracing = _attached(tracer, int(pid)) if tracer else None
            gate.close()
            try:
                return self._ended(pipes, pid, timeout)
            finally:
                if tracing is not None:
                    tracing.wait(timeout)

    def _ended(self, pipes: list[tuple[int, int]], pid: bytes, timeout: float) -> Ended:
        output: dict[int, bytearray] = {read: bytearray() for read, _ in pipes}
        stdout, stderr, answer = output.values()
        answer += pid
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            for read in output:
                selector.register(read, selectors.EVENT_READ)
            late = False
            while selector.get_map():
                for key, _ in (ready := selector.select(max(0.0, deadline - time.monotonic()))):
                    if piece := os.read(key.fd, 1 << 16):
                        output[key.fd] += piece
                    else:
                        selector.unregister(key.fd)
                        os.close(key.fd)
                if not ready:
                    late, deadline = True, time.monotonic() + 10
                    os.killpg(int(pid), signal.SIGKILL)
        words = answer.split()
        assert len(words) == 2, "the fork server has ended"
        ended = Ended(os.waitstatus_to_exitcode(int(words[1])), bytes(stdout), bytes(stderr))
        if late:
            raise StillRunning(ended)
        return ended

    def close(self) -> None:
        """End it, and wait for it: what its commands took is then counted among what this process has run."""
        self._control.close()
        self._process.wait()


def _attached(tracer: Sequence[str], pid: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [*tracer, f"--attach={pid}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while b"\nTracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_bytes():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    return process


class Servers:
    """The server of the file of tests that is running now, and which kinds of command it has seen start."""

    environment: ClassVar[dict[str, str]] = {}  # of every server: as it was before any test changed it
    started: ClassVar[set[tuple[str, ...]]] = set()
    server: ClassVar[ForkServer | None] = None

    @classmethod
    def close(cls) -> None:
        """A file of tests has ended."""
        cls.started.clear()
        if cls.server is not None:
            cls.server.close()
            cls.server = None


def server_for(argv: Sequence[str], environment: Mapping[str, str]) -> ForkServer | None:
    """Who forks for this command; None where it has to start by itself."""
    kind = tuple(word for word in argv[3:] if _WORD.fullmatch(word))
    if kind not in Servers.started:
        Servers.started.add(kind)
        return None
    if _imported(environment) != _imported(Servers.environment):
        return None
    if Servers.server is None:
        Servers.server = ForkServer(Servers.environment)
    return Servers.server


def _imported(environment: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in environment.items() if key not in OF_ONE_COMMAND}


def _serve(control: socket.socket) -> None:
    """Fork for each request; tell its process number, and how it ended."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    running: dict[int, tuple[int, int]] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in running:
                pid, answer = running.pop(descriptor)
                poll.unregister(descriptor)
                os.close(descriptor)
                os.write(answer, b"%d\n" % os.waitpid(pid, 0)[1])
                os.close(answer)
                continue
            request, descriptors, _, _ = socket.recv_fds(control, _MOST_BYTES, 4)
            if not request:
                return
            stdout, stderr, answer, waits = descriptors
            pid = os.fork()
            if pid == 0:
                argv, environment = json.loads(request)
                _become(argv, environment, stdout, stderr, waits)
            for descriptor in (stdout, stderr, waits):
                os.close(descriptor)
            os.write(answer, b"%d\n" % pid)
            pidfd = os.pidfd_open(pid)
            running[pidfd] = pid, answer
            poll.register(pidfd, select.POLLIN)


def _become(argv: list[str], environment: dict[str, str], stdout: int, stderr: int, waits: int) -> None:
    """In the child: be what `subprocess` would have started. Never returns."""
    try:
        os.setsid()
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.dup2(waits, 3)
        os.closerange(4, 1 << 20)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.environ.clear()
        os.environ.update(environment)
        _show_as(argv, environment)
        sys.argv = [str(REPOSITORY / "snapmirror" / "__main__.py"), *argv[3:]]
        from snapmirror.__main__ import main

        os.read(3, 1)  # until the gate is open
        os.close(3)
        main()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)  # (the program ends by itself)


def _show_as(argv: list[str], environment: Mapping[str, str]) -> None:
    """Let /proc show this process with this command line and environment; its forks as well."""
    words = b"".join(os.fsencode(word) + b"\0" for word in argv)
    variables = b"".join(os.fsencode(f"{key}={value}") + b"\0" for key, value in environment.items())
    shown = ctypes.create_string_buffer(words + variables, len(words + variables))
    _kept.append(shown)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.sbrk.restype, libc.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_long]
    stat = [0, 0, 0, *map(int, Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[1:])]  # from field 4 on
    at = ctypes.addressof(shown)
    between, end = at + len(words), at + len(words + variables)
    code, data, brk, stack = (stat[25], stat[26]), (stat[44], stat[45]), stat[46], stat[27]
    # struct prctl_mm_map: no new auxiliary vector (0 bytes), no other program (-1)
    fields = struct.pack("=12QIi", *code, *data, brk, libc.sbrk(0), stack, at, between, between, end, 0, 0, -1)
    if libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP, fields, ctypes.c_ulong(len(fields)), ctypes.c_ulong(0)):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_MM_MAP)")


def _main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    import snapmirror

    for module in pkgutil.walk_packages(snapmirror.__path__, "snapmirror."):
        if module.name not in _PROGRAMS:
            importlib.import_module(module.name)
    for name in _LATER:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # its pages stay shared with the commands
    _serve(control)


if __name__ == "__main__":
    _main()
