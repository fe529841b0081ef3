"""Samba on loopback as the Windows server: SMB 3.1.1 only, encryption required, a share called "backup" and one "usb".

A stand-in, and no Windows: it takes names that Windows refuses, and its volume is a Linux folder. Its flush reaches the
disk (`strict sync`), and files on it may be sparse (`strict allocate = no`). Runs smbd, smbpasswd, mke2fs, mount.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.sshd import answers, free_port
from tests.support.waiting import until

SHARE, USB = "backup", "usb"


@dataclass
class Samba:
    """A Samba of our own. `storage` is the folder that it serves; `start`, `stop` and `kill` may be called at will."""

    folder: Path
    storage: Path
    port: int
    user: str = "root"  # a user of this machine: smbd changes to it
    password: str = "correct horse"
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def settings(self) -> Path:
        return self.folder / "smb.conf"

    def credentials(self) -> bytes:
        """A credentials file for mount.cifs."""
        return f"username={self.user}\npassword={self.password}\n".encode()

    def unc(self, host: str = "127.0.0.1") -> str:
        return f"//{host}/{SHARE}"

    @property
    def usb(self) -> Path:
        """The folder that it serves as its USB disk."""
        return self.folder / USB

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Serve, on the same port and with the same state as before."""
        assert not self.running
        program = shutil.which("smbd", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "samba is not installed"
        argv = [program, "--foreground", "--no-process-group", f"--configfile={self.settings}"]
        with (self.folder / "smbd.log").open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until(lambda: answers(self.port), "smbd answers", running=self._process, said=self.log)

    def stop(self) -> None:
        """Windows shuts down: clients lose their connection."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Windows crashes."""
        self._end(signal.SIGKILL)

    def set_password(self, password: str) -> None:
        """Also for new connections only: who is in stays in."""
        self.password = password
        subprocess.run(
            ["smbpasswd", "-c", self.settings, "-s", "-a", self.user],
            input=f"{password}\n{password}\n".encode(), check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def log(self) -> str:
        return "".join(file.read_text(errors="replace") for file in sorted(self.folder.glob("*log*")) if file.is_file())

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        group = self._process.pid  # one process for each connection, all in this group
        with suppress(ProcessLookupError):
            os.killpg(group, number)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                break
            time.sleep(0.1)
        self._process = None


@contextmanager
def samba_running(folder: Path, storage: Path) -> Iterator[Samba]:
    """Samba, serving `storage`; its state stands in `folder`."""
    for name in ("state", "run", USB):
        (folder / name).mkdir(parents=True, mode=0o755)
    storage.mkdir(exist_ok=True)
    server = Samba(folder=folder, storage=storage, port=free_port())
    settings = [
        "[global]", "workgroup = SNAPMIRROR", "server role = standalone server", "server min protocol = SMB3_11",
        "server smb encrypt = required", "strict sync = yes", "strict allocate = no",
        "vfs objects = streams_xattr acl_xattr", "store dos attributes = yes", "ea support = yes",
        f"smb ports = {server.port}", "interfaces = 127.0.0.1", "bind interfaces only = yes", "disable netbios = yes",
        "load printers = no", "printing = bsd", "log level = 1", f"log file = {folder}/log", "max log size = 0",
        f"private dir = {folder}/state", f"state directory = {folder}/state", f"cache directory = {folder}/state",
        f"lock directory = {folder}/run", f"pid directory = {folder}/run", f"ncalrpc dir = {folder}/run/ncalrpc",
        f"passdb backend = tdbsam:{folder}/state/passdb.tdb",
        f"[{SHARE}]", f"path = {storage}", "read only = no",
        f"[{USB}]", f"path = {server.usb}", "read only = no",
    ]  # fmt: skip
    server.settings.write_text("\n".join(settings) + "\n")
    server.set_password(server.password)
    try:
        server.start()
        yield server
    finally:
        server.kill()
