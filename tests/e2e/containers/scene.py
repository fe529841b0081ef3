"""The containers of docker-compose.yml as the tests see them: programs in them, trees of them, their configuration.

Programs: docker, docker-compose (by pytest-docker), ssh-keygen, and in the containers tar and snapmirror.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snapmirror.storage.encryption import Places
from tests.e2e.containers.daemon import DOCKER, Daemon
from tests.support.fingerprint import Fingerprint, fingerprint
from tests.support.runner import Result

PROJECT = "scene"
SHARE = Path("/mnt/smb/samba/backup")  # on the manager: smbnetfs shows host and share as folders
IMAGE = SHARE / "snapmirror.img"
_CONFIG = """\
[store]
path = "/srv/snapmirror"
[image]
file = "{image}"
size = "512M"
encryption = "luks1"
key_file = "/etc/snapmirror/image.key"
header_backup = "/etc/snapmirror/image.luks-header"
[[mirror]]
name = "{name}"
source = "root@server:/{name}"  # rrsync begins at /srv
identity = "/etc/snapmirror/{identity}"
known_hosts = "/etc/snapmirror/{known_hosts}"
clone_above = "8M"
{more}
[mirror.guard]
max_changed = "100%"
max_deleted = "100%"
max_lost = "100%"
max_scrambled = "100%"
min_free = "50M"
[mirror.retention]
keep_last = 5
keep_at_least_days = 0
"""


@dataclass(frozen=True)
class Containers:
    """Three running containers. `folder` holds what was handed to them: keys, passwords, configuration."""

    daemon: Daemon
    folder: Path

    # -- programs ------------------------------------------------------------------------------------------------

    def run(self, service: str, *words: str, ok: Sequence[int] = (0,), text: str = "") -> str:
        """Run a program in a container; what it prints."""
        done = self.daemon.docker("exec", "--interactive", self.name(service), *words, ok=ok, text=text.encode())
        return done.stdout.decode(errors="surrogateescape")

    def shell(self, service: str, script: str) -> str:
        """Run a script in a container; it stops at the first failure."""
        return self.run(service, "bash", "-euo", "pipefail", "-s", text=script)

    def start(self, mirror: str, *words: str) -> subprocess.Popen[bytes]:
        """Start snapmirror on the manager, with the configuration of this mirror."""
        argv = [DOCKER, "--host", self.daemon.host, "exec", self.name("manager"), "snapmirror"]
        argv += ["--config", f"/etc/snapmirror/{mirror}.toml", *words]
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, process: subprocess.Popen[bytes], *, expect: int = 0) -> Result:
        try:
            stdout, stderr = process.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        result = Result(process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))
        assert result.exit_code == expect, str(result)
        return result

    def snapmirror(self, mirror: str, *words: str, expect: int = 0) -> Result:
        return self.finish(self.start(mirror, *words), expect=expect)

    def name(self, service: str) -> str:
        return f"{PROJECT}_{service}_1"

    # -- what is there -------------------------------------------------------------------------------------------

    def fetched(self, service: str, path: str, target: Path) -> Path:
        """A copy of a folder of a container, made by tar with everything that tar can keep; holes stay holes."""
        tar = ["tar", "--create", "--format=posix", "--sparse", "--numeric-owner", "--xattrs", "--acls"]
        done = self.daemon.docker("exec", self.name(service), *tar, "--directory", path, ".")
        target.mkdir(parents=True)
        extract = ["tar", "--extract", "--numeric-owner", "--same-permissions", "--xattrs", "--xattrs-include=*"]
        subprocess.run([*extract, "--acls", "--directory", str(target)], input=done.stdout, check=True)
        return target

    def tree(self, service: str, path: str, scratch: Path) -> Fingerprint:
        return fingerprint(self.fetched(service, path, scratch))

    def address(self, service: str, network: str) -> str:
        pattern = f'{{{{(index .NetworkSettings.Networks "{PROJECT}_{network}").IPAddress}}}}'
        address = self.daemon.docker("inspect", "--format", pattern, self.name(service)).stdout.decode().strip()
        assert address, f"{service} is not in {network}"
        return address

    def reaches(self, service: str, address: str, port: int) -> bool:
        """Whether a TCP connection from this container comes about."""
        connect = ["timeout", "3", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]
        done = self.daemon.docker("exec", self.name(service), *connect, ok=(0, 1, 124))
        return done.returncode == 0

    def left_on_manager(self) -> list[str]:
        """What a finished command should not have left: programs, mounts, loop devices."""
        programs = self.run("manager", "ps", "-e", "--no-headers", "--format", "args").splitlines()
        found = [line for line in programs if not line.startswith(("/sbin/docker-init", "smbnetfs", "ps -e"))]
        mounts = self.run("manager", "cat", "/proc/self/mounts").splitlines()
        found += [line for line in mounts if "/srv/snapmirror" in line or "/run/snapmirror" in line]
        # the kernel's list is everybody's: other stores on this machine have their own loop devices
        loops = self.run("manager", "losetup", "--list", "--noheadings", "--output", "BACK-FILE")
        return found + [line for line in loops.splitlines() if line.startswith(str(Places(IMAGE).folder))]

    # -- setting up ----------------------------------------------------------------------------------------------

    def configure(
        self, name: str, *, identity: str = "id_read", known_hosts: str = "known_hosts", file: str = "", more: str = ""
    ) -> None:
        """Write the configuration of one mirror; all share one store."""
        text = _CONFIG.format(image=IMAGE, name=name, identity=identity, known_hosts=known_hosts, more=more)
        (self.folder / f"manager/{file or name}.toml").write_text(text)

    def trust_server(self) -> None:
        """Take over the server's host key the way the page `first-backup` says: read on the server itself."""
        key = self.run("server", "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
        (self.folder / "manager/known_hosts").write_text(f"server {key}")


def make_secrets(folder: Path) -> None:
    """Keys, passwords and logins, as they are handed to each container."""
    manager, samba, server = (folder / name for name in ("manager", "samba", "server"))
    for path in (manager, samba, server):
        path.mkdir(mode=0o700)
    _write(manager / "image.key", secrets.token_urlsafe(48))
    password = secrets.token_urlsafe(12)
    _write(samba / "password", f"{password}\n{password}\n")
    _write(manager / "smbnetfs.auth", f'auth "samba/backup" "root" "{password}"\n')
    keys = []
    for name, may in (("id_read", "/usr/bin/rrsync -ro /srv"), ("id_restore", "/usr/bin/rrsync /srv")):
        new_key(manager / name)
        keys.append(f'restrict,command="{may}" {(manager / f"{name}.pub").read_text()}')
    _write(server / "authorized_keys", "".join(keys))


def new_key(path: Path) -> None:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "snapmirror test", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
