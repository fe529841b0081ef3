"""Real servers to mirror from, on loopback: a private sshd (OpenSSH) and a private rsync daemon.

Both keep their keys, settings and logs in a folder of their own, listen on a free port, and are gone on the way out.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.waiting import until

RRSYNC = "/usr/bin/rrsync"


@dataclass
class Sshd:
    """A running sshd. `identity` is a key it lets in, `known_hosts` names its host key."""

    folder: Path
    port: int
    identity: Path
    known_hosts: Path
    authorized_keys: Path
    host_key: Path

    @property
    def login(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1"

    def options(self) -> dict[str, Any]:
        """The keys of a [[mirror]] section that reach this server."""
        return {"port": self.port, "identity": str(self.identity), "known_hosts": str(self.known_hosts)}

    def restrict(self, command: str) -> Path:
        """A further key that may do nothing but `command` (a forced command, as rrsync is used)."""
        number = len(list(self.folder.glob("restricted*.pub")))
        key = _new_key(self.folder / f"restricted{number}")
        public = key.with_suffix(".pub").read_text()
        with self.authorized_keys.open("a") as file:
            file.write(f'command="{command}",restrict {public}')
        return key

    def new_host_key(self) -> None:
        """From the next connection on the server shows another host key, as after a reinstall, or an attack."""
        self.host_key.unlink()
        _new_key(self.host_key)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


@contextmanager
def sshd_running(folder: Path, *, address: str = "127.0.0.1", port: int = 0) -> Iterator[Sshd]:
    """A private sshd for the present user, on a free port unless one is given."""
    folder.mkdir(mode=0o700)
    home = folder / "home"
    home.mkdir()
    port = port or free_port()
    server = Sshd(
        folder=folder, port=port, identity=_new_key(folder / "identity"), known_hosts=folder / "known_hosts",
        authorized_keys=folder / "authorized_keys", host_key=_new_key(folder / "host_key"),
    )  # fmt: skip
    server.authorized_keys.write_text((folder / "identity.pub").read_text())
    server.known_hosts.write_text(f"[{address}]:{port} {(folder / 'host_key.pub').read_text()}")
    settings = [
        f"ListenAddress {address}", f"Port {port}", f'HostKey "{server.host_key}"', f'PidFile "{folder}/pid"',
        f'AuthorizedKeysFile "{server.authorized_keys}"', "StrictModes no", "UsePAM no", "PasswordAuthentication no",
        "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password", "AllowTcpForwarding yes",
        "MaxStartups 100", "LogLevel VERBOSE", "PrintMotd no", "PermitUserRC no",
        "Subsystem sftp /usr/lib/openssh/sftp-server",
        # bash reads ~/.bashrc below sshd, and what this machine's user has there may wait for a lock, or print
        f'SetEnv "HOME={home}"',
    ]  # fmt: skip
    (folder / "sshd_config").write_text("\n".join(settings) + "\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd drops its privileges to
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "sshd is not installed"
    # each connection reads the settings anew (-D listens, then re-executes), so a new host key counts at once
    argv = [program, "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "log")]
    with _server(argv, port, address) as process:
        server_pid = process.pid
        assert server_pid
        yield server


@contextmanager
def rsync_daemon_running(
    folder: Path, module: Path, *, password: str | None = None, refused: str = ""
) -> Iterator[int]:
    """A private rsync daemon that offers `module` as "data", to the user "backup" if there is a password.

    `refused`: options that it refuses.
    """
    folder.mkdir(mode=0o700)
    port = free_port()
    uid = "root" if os.geteuid() == 0 else str(os.geteuid())
    settings = [
        f"port = {port}", "address = 127.0.0.1", "use chroot = no", f"log file = {folder}/log",
        f"lock file = {folder}/lock", "[data]", f"path = {module}", "read only = yes", "list = yes", f"uid = {uid}",
        "gid = *", *([f"refuse options = {refused}"] if refused else []),
    ]  # fmt: skip
    if password is not None:
        secrets = folder / "secrets"
        secrets.write_text(f"backup:{password}\n")
        secrets.chmod(0o600)
        settings += ["auth users = backup", f"secrets file = {secrets}"]
    (folder / "rsyncd.conf").write_text("\n".join(settings) + "\n")
    argv = ["/usr/bin/rsync", "--daemon", "--no-detach", f"--config={folder}/rsyncd.conf"]
    with _server(argv, port):
        yield port


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def answers(port: int, address: str = "127.0.0.1") -> bool:
    """Whether somebody listens on a port of this machine."""
    with suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


@contextmanager
def _server(argv: list[str], port: int, address: str = "127.0.0.1") -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: answers(port, address), f"{argv[0]} answers", running=process)
        yield process
    finally:
        process.terminate()
        process.wait()


def _new_key(path: Path) -> Path:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "snapmirror test", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path
