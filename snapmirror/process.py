"""The one door to other programs, built on `sh`.

Callers pass an argv list and get bytes back. Traps of sh 2.4 that are closed here, so that no caller meets them:

- stdout is a terminal by default: every stream is a file descriptor of ours, so sh neither buffers nor decodes;
- an argument that is not UTF-8 raises: arguments go through latin-1, which maps every byte to itself;
- messages are cut: stderr is kept whole (only its tail, when it is endless);
- a child outlives a signal handler that raises: each child is started in the background in its own session,
  waited for on a pidfd (which a signal interrupts), terminated with its whole session, and reaped;
- a child outlives a killed parent: the kernel sends it SIGKILL (PR_SET_PDEATHSIG), and its environment carries
  `SNAPMIRROR_RUN`, by which the next run finds its surviving descendants (see `kill_leftovers`);
- variables set for people (`RSYNC_ICONV`, `LESS`, …) change what a program does: see `environment`.

Secrets travel only through `stdin`.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import resource
import select
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

from snapmirror import environment, interrupts
from snapmirror.confinement import confine
from snapmirror.errors import UsageError
from snapmirror.threads import ensure_room

Argument = str | bytes | os.PathLike[str] | os.PathLike[bytes]

log = logging.getLogger("snapmirror.process")
logging.getLogger("sh").setLevel(logging.WARNING)  # it would log each command at INFO

RUN_VARIABLE = "SNAPMIRROR_RUN"
_STDERR_TAIL = 64 * 1024
_STDERR_MOST = 64 << 20
_GRACE_SECONDS = 10.0
_PIPE_BYTES = 1 << 20
_THREADS = 3  # that sh starts for a program, and one more for when it has ended
_PR_SET_PDEATHSIG = 1
_ANY_EXIT_CODE = tuple(range(-64, 256))
_libc = ctypes.CDLL(None, use_errno=True)


class Completed(Struct, frozen=True):
    """A program that has ended. `exit_code` is negative for a signal, as in the standard library."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """stdout for people and parsers of plain text: bytes that are not UTF-8 survive as surrogates."""
        return self.stdout.decode("utf-8", "surrogateescape").strip()

    @property
    def complaint(self) -> str:
        """The last line of stderr that is not blank, for an error sentence."""
        lines = [line for line in self.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"exit code {self.exit_code}"


class ProgramFailed(Exception):  # noqa: N818
    """A program ended with an exit code that its caller did not allow. Adapters in `tools` turn it into their error."""

    def __init__(self, completed: Completed) -> None:
        super().__init__(f"{completed.argv[0]} ended with {completed.exit_code}: {completed.complaint}")
        self.completed = completed


class ProgramTimeout(Exception):  # noqa: N818
    """A program did not end in time and was stopped."""


class Running:
    """A program that is running; `stdout` is a binary reader where `capture` was asked for."""

    def __init__(self, argv: tuple[str, ...], command: Any, stdout: IO[bytes] | None, stderr: IO[bytes]) -> None:
        self.argv = argv
        self._command = command
        self._stderr = stderr
        self._exit_code: int | None = None
        self._trimmed = 0
        self.stdout = stdout
        self.pid: int = command.pid
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:  # already ended and reaped
            self._pidfd = -1

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code. Raises ProgramTimeout after `timeout` seconds."""
        if self._exit_code is None:
            if self._pidfd >= 0:
                ready, _, _ = select.select([self._pidfd], [], [], timeout)
                if not ready:
                    raise ProgramTimeout(f"{self.argv[0]} did not end within {timeout:g} seconds")
            with interrupts.deferred():  # it has ended; sh starts a thread to clean up, which must not be interrupted
                self._command.wait()
            self._exit_code = int(self._command.exit_code)
        return self._exit_code

    def stop(self, grace: float = _GRACE_SECONDS) -> None:
        """SIGTERM to the whole session, SIGKILL after `grace` seconds, and reap. Safe to call at any time."""
        if self._exit_code is None:
            self._signal(signal.SIGTERM)
            try:
                self.wait(grace)
            except ProgramTimeout:
                self._signal(signal.SIGKILL)
                self.wait()
        self._signal(signal.SIGKILL)  # descendants that survived their leader

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def stderr_tail(self) -> bytes:
        """The last 64 KiB that the program has written to stderr so far."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), _STDERR_TAIL, max(0, size - _STDERR_TAIL))

    def trim_stderr(self) -> int:
        """Keep the file that holds stderr small; return how many bytes were written so far."""
        size = os.fstat(self._stderr.fileno()).st_size
        if size > _STDERR_MOST:  # it is open for appending: the next output begins at 0 again
            os.ftruncate(self._stderr.fileno(), 0)
            self._trimmed += size
            size = 0
        return self._trimmed + size

    def close(self) -> None:
        """Close the descriptors."""
        if self.stdout is not None:
            self.stdout.close()
        self._stderr.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def find(program: str) -> str | None:
    """Absolute path of a program, looked for on PATH and in the sbin folders that cron leaves out."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which(program, path=path)


@contextmanager
def running(
    argv: Sequence[Argument],
    *,
    capture: bool = True,
    stdin: bytes | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    memory: int | None = None,
    writable: Sequence[Path] | None = None,
) -> Iterator[Running]:
    """A program running in the background; it is stopped with its whole session, and reaped, on exit.

    `stdin` bytes must be short (a secret, a few lines); pass a file for more. `env` adds to the environment. `memory`
    limits it, and each program that it starts, in bytes. `writable` are the only folders that it may change, where this
    machine can enforce that (see `confinement`); None: it may change whatever its user may.
    Start it from a thread that lives as long as the program does: the kernel ties the two together.
    Raises UsageError when the program is not installed.
    """
    words = tuple(os.fsdecode(a) for a in argv)
    program = find(words[0])
    if program is None:
        raise UsageError(f"the program {words[0]} is not installed", hint="'snapmirror doctor' names its package")
    log.debug("+ %s", shlex.join(words))
    child: Running | None = None
    try:
        with interrupts.deferred():  # a child that is not recorded yet could not be stopped
            child = _started(
                words, program, capture=capture, stdin=stdin, env=env, cwd=cwd, memory=memory, writable=writable
            )
        yield child
    finally:
        if child is not None:
            try:
                child.stop()
            finally:
                child.close()


def _started(
    words: tuple[str, ...],
    program: str,
    *,
    capture: bool,
    stdin: bytes | IO[bytes] | None,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    memory: int | None,
    writable: Sequence[Path] | None,
) -> Running:
    import sh  # takes 30 ms, as it brings asyncio; commands that only read a plain folder run no program

    stderr = environment.temporary_file()  # closed by Running.close
    reader: IO[bytes] | None = None
    with _input(stdin) as source, open(os.devnull, "wb") as null:
        sink: IO[bytes] = null
        if capture:
            read_end, write_end = os.pipe()
            with suppress(OSError):  # more than a user may have: the default size works as well
                fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            reader, sink = os.fdopen(read_end, "rb", 1 << 20), os.fdopen(write_end, "wb")
        only = None if writable is None else list(map(os.fsencode, writable))
        try:
            start: Any = sh.Command(program)
            ensure_room(_THREADS)
            command = start(
                [os.fsencode(word).decode("latin-1") for word in words[1:]],
                _in=source, _out=sink, _err=stderr, _encoding="latin-1", _tty_out=False,
                _bg=True, _bg_exc=False, _ok_code=_ANY_EXIT_CODE, _new_session=True,
                _preexec_fn=partial(_before_program, memory, only, list(map(os.fsencode, words))),
                _env={**environment.passed_on(words[0]), **(env or {})},
                **({"_cwd": str(cwd)} if cwd else {}),
            )  # fmt: skip
        except BaseException:
            stderr.close()
            if reader is not None:
                reader.close()
            raise
        finally:
            if sink is not null:
                sink.close()
    return Running(words, command, reader, stderr)


def run(
    argv: Sequence[Argument],
    *,
    ok: Sequence[int] = (0,),
    stdin: bytes | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> Completed:
    """Run a program to its end. Raises ProgramFailed for an exit code not in `ok`, ProgramTimeout, UsageError."""
    with running(argv, stdin=stdin, env=env, cwd=cwd) as child:
        assert child.stdout is not None
        stdout = _read_until(child, timeout)
        completed = Completed(child.argv, child.wait(timeout), stdout, child.stderr_tail())
    if completed.exit_code not in ok:
        raise ProgramFailed(completed)
    return completed


def become(argv: Sequence[str], *, stdin: bytes, env: Mapping[str, str]) -> None:
    """This process becomes the program, with the terminal and `env` as they are; returns where it is not installed.

    For what a person looks at and ends, such as a pager: no child is left that a signal could separate from us.
    """
    program = find(argv[0])
    if program is None:
        return
    log.debug("+ %s", shlex.join(argv))
    with _input(stdin) as source, suppress(OSError):  # (a script without an interpreter, a file that may not be run)
        os.dup2(source.fileno(), 0)
        os.execve(program, list(argv), dict(env))


def kill_leftovers(run_id: str) -> int:
    """Kill every process that a dead run left behind (its descendants carry `run_id`); return how many.

    Called by the next run before it touches the store: an orphaned rsync must not write into a slot that is being
    recovered.
    """
    import psutil  # here, because only a recovery needs it and its import takes 20 ms

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(RUN_VARIABLE) == run_id:
                process.kill()
                found.append(process)
    psutil.wait_procs(found, timeout=_GRACE_SECONDS)
    return len(found)


def _read_until(child: Running, timeout: float | None) -> bytes:
    """All of stdout; a program that keeps it open past `timeout` seconds is a timeout too."""
    assert child.stdout is not None
    if timeout is None:
        return child.stdout.read()
    deadline = time.monotonic() + timeout
    chunks: list[bytes] = []
    while True:
        ready, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise ProgramTimeout(f"{child.argv[0]} did not end within {timeout:g} seconds")
        chunk = os.read(child.stdout.fileno(), 1 << 16)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


@contextmanager
def _input(stdin: bytes | IO[bytes] | None) -> Iterator[IO[bytes]]:
    if stdin is None:
        with open(os.devnull, "rb") as null:
            yield null
    elif isinstance(stdin, bytes):
        with tempfile.TemporaryFile(dir=_memory_folder()) as memory:  # not on a disk: it may be a secret
            memory.write(stdin)
            memory.seek(0)
            yield memory
    else:
        yield stdin


def _memory_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _before_program(memory: int | None, writable: Sequence[bytes] | None, argv: Sequence[bytes]) -> None:
    """In the child: let it die with its parent, limit its memory and the folders that it may write to."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if memory is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    if writable is not None:
        confine(writable, argv)
