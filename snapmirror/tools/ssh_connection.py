"""One login for many rsyncs: an ssh stays connected (a ControlMaster), and each rsync's ssh opens a session over it.

A forced command on the server is still run for each session. Host keys and keys are checked as for any login of ours.
The socket lies in a folder that only we may enter. It is named by our descriptor of that folder, since a socket's path
has at most 107 bytes. If there can be no such socket, or the connection ends early, each rsync logs in by itself.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from msgspec.structs import replace

from snapmirror import environment, process
from snapmirror.tools import ssh

_NAME = "snapmirror-ssh."
_LOOK_SECONDS = 0.02
_PATIENCE = 2 * ssh.CONNECT_SECONDS  # seconds; an agent may ask somebody for each key
_OF_SOCKET = (b"ControlPath", b"ControlSocket", b"unix_listener", b"mux", b"control path", b"/proc/")


class NotConnected(Exception):  # noqa: N818
    """ssh could not connect, or log in. `stderr` says why."""

    def __init__(self, stderr: bytes) -> None:
        super().__init__(stderr.decode("utf-8", "backslashreplace"))
        self.stderr = stderr


@contextmanager
def shared(login: ssh.Login, destination: str) -> Iterator[ssh.Login]:
    """Log in to `destination` (user@host, or host); yields the login to use meanwhile. Raises NotConnected."""
    with ExitStack() as stack:
        yield _connected(stack, login, destination) or login


def _connected(stack: ExitStack, login: ssh.Login, destination: str) -> ssh.Login | None:
    """The login over a connection that the stack holds; None if none can be shared."""
    try:
        socket = stack.enter_context(_place())
    except OSError:
        return None
    over = replace(login, control=socket)
    with ExitStack() as connecting:
        child = connecting.enter_context(
            process.running(ssh.master_argv(over, destination), capture=False, writable=())
        )
        deadline = time.monotonic() + _PATIENCE
        while not socket.exists():
            with suppress(process.ProgramTimeout):
                child.wait(_LOOK_SECONDS)
                said = child.stderr_tail()
                if any(sign in said for sign in _OF_SOCKET):
                    return None
                raise NotConnected(said)
            if time.monotonic() > deadline:
                return None
        stack.push(connecting.pop_all())
    return over


@contextmanager
def _place() -> Iterator[Path]:
    """The path of a socket, in a folder of ours that is removed afterwards. Raises OSError."""
    above = environment.temporary_folders()[0]
    _sweep(Path(above))
    with tempfile.TemporaryDirectory(prefix=f"{_NAME}{os.getpid()}.", dir=above, ignore_cleanup_errors=True) as folder:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            yield Path(f"/proc/{os.getpid()}/fd/{descriptor}/s")
        finally:
            os.close(descriptor)


def _sweep(above: Path) -> None:
    """Remove the folders of our runs that were killed."""
    for folder in above.glob(f"{_NAME}*"):
        number = folder.name.removeprefix(_NAME).partition(".")[0]
        with suppress(OSError):
            if not Path(f"/proc/{number}").exists() and folder.lstat().st_uid == os.geteuid():
                (folder / "s").unlink(missing_ok=True)
                folder.rmdir()
