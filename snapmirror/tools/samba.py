"""Samba as our server: checks its settings, adds users, runs smbd. Programs: smbd, testparm, pdbedit, useradd, getent.

All its files are in one folder of ours, so that this machine's own Samba is not touched. A password is passed through
stdin only.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from snapmirror import interrupts
from snapmirror.errors import StorageError
from snapmirror.process import ProgramFailed, Running, run, running

log = logging.getLogger("snapmirror.samba")

_START_SECONDS = 60.0
_COMMENT = "reads snapmirror's history"


def check(settings: Path) -> None:
    """Check that Samba understands every line of its settings."""
    try:
        said = run(["testparm", "--suppress-prompt", settings]).stderr.decode(errors="replace")
    except ProgramFailed as failed:
        said = failed.completed.stderr.decode(errors="replace") or failed.completed.complaint
        raise StorageError(f"Samba does not accept {settings}: {_first(said)}") from failed
    wrong = [line for line in said.splitlines() if line.startswith(("ERROR", "Unknown parameter", "Ignoring unknown"))]
    if wrong:
        raise StorageError(f"Samba does not accept {settings}: {wrong[0]}", hint="is this Samba older than 4.17?")


def add_user(settings: Path, name: str, password: bytes) -> None:
    """Add a user with this password. Samba requires a system account for each: it is made without a login."""
    if run(["getent", "passwd", name], ok=(0, 2)).exit_code:
        argv = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
        try:
            run([*argv, "--comment", _COMMENT, name])
        except ProgramFailed as failed:
            raise StorageError(
                f"the account {name} cannot be made: {failed.completed.complaint}", hint="make it with useradd"
            ) from failed
        log.info("made the account %s, without a login", name)
    argv = ["pdbedit", f"--configfile={settings}", "--create", "--password-from-stdin", f"--user={name}"]
    try:
        run(argv, stdin=password + b"\n" + password + b"\n")
    except ProgramFailed as failed:
        raise StorageError(f"Samba does not accept the user {name}: {failed.completed.complaint}") from failed


@contextmanager
def serving(settings: Path, port: int) -> Iterator[Running]:
    """Run smbd with these settings until it answers; it and all its connections are gone afterwards."""
    if _answers(port):
        raise StorageError(
            f"another server listens on port {port} already",
            hint="'ss --listening --tcp --processes' names it; Debian's own Samba: 'systemctl disable --now smbd'",
        )
    argv = ["smbd", "--foreground", "--no-process-group", f"--configfile={settings}"]
    with running(argv, capture=False) as child:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if not is_alive(child):
                raise StorageError(
                    f"smbd ended at once: {_first(child.stderr_tail().decode(errors='replace'))}",
                    hint=f"its log ends with: {last_words(settings.parent)}",
                )
            if time.monotonic() >= deadline:
                raise StorageError("smbd does not answer", hint=f"its log ends with: {last_words(settings.parent)}")
            interrupts.check()
            time.sleep(0.1)
        try:
            yield child
        finally:
            # A client that asks for the shares, as Explorer does, has smbd start these, in sessions of their own, and
            # they stay when smbd ends.
            _kill(settings.parent, (b"samba-dcerpcd", b"rpcd_"))


def end(folder: Path) -> None:
    """Kill every program of Samba whose settings lie in this folder: the process that started it has died."""
    for pid in _kill(folder, (b"smbd", b"samba-dcerpcd", b"rpcd_")):
        log.info("ended a process of Samba (pid %s), which a dead export had left", pid)


def _kill(folder: Path, programs: tuple[bytes, ...]) -> list[str]:
    """Kill these programs (the beginnings of their names) whose settings lie in this folder; return their pids."""
    mark, killed = f"--configfile={folder}/".encode(), []
    for process in Path("/proc").glob("[1-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[0].rpartition(b"/")[2].startswith(programs) and any(word.startswith(mark) for word in words):
                os.kill(int(process.name), signal.SIGKILL)
                killed.append(process.name)
    return killed


def last_words(folder: Path) -> str:
    """The last line of a server's log in this folder, which is removed with the folder."""
    with suppress(OSError):
        lines = (folder / "log").read_text(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
    return "nothing"


def is_alive(child: Running) -> bool:
    """Whether the server still runs."""
    stat = Path(f"/proc/{child.pid}/stat")
    with suppress(OSError):
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _first(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "it gives no reason")
