"""The appliance as tests use it: built once, booted under QEMU on an overlay, so that the built image never changes.

The image is cached by a hash of what goes into it: `vm/` and the Python packages of pyproject.toml. snapmirror's own
sources are NOT part of that hash, so that the cache lives long: a test puts the present ones into the running guest by
`Guest.push_source()`. The cache is SNAPMIRROR_VM_CACHE, else /var/tmp/snapmirror-vm-cache; old images are removed when
a new one is built. SNAPMIRROR_VM_IMAGE names an image that is used as it is.

The guest has a fixed address and no way out but to this machine's loopback, which it sees as 10.0.2.2.
"""

from __future__ import annotations

import compileall
import fcntl
import hashlib
import io
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from tests.support.sshd import free_port
from tests.support.waiting import until
from vm.qemu import Agent, Machine, Qmp

ROOT = Path(__file__).resolve().parents[2]
HOST = "10.0.2.2"
BOOT_SECONDS = 400.0  # 20 on a quiet machine
_IN_USE: list[IO[str]] = []
NOT_IN_THE_IMAGE = {"__pycache__", "zfs-module", "run", "seed", "qemu.py", "__init__.py"}
# (mv replaces no folder that is there; an image has no tests)
_EXCHANGE = """set -e
mkdir /opt/pushed /opt/replaced
tar --extract --directory=/opt/pushed
cd /opt/snapmirror
for name in snapmirror tests; do
    if [ -e $name ]; then mv $name /opt/replaced; fi
    mv /opt/pushed/$name .
done
rm --recursive /opt/pushed /opt/replaced
"""
# It starts snapmirror at each boot, to learn that there is nothing to export. (In test_run it does.)
NO_EXPORT = "systemd.mask=snapmirror-export.service"
NETWORK = b"[Match]\nName=en* eth*\n\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\n"


@dataclass(frozen=True)
class Image:
    """A built appliance."""

    folder: Path

    @property
    def kernel_release(self) -> str:
        return (self.folder / "kernel").read_text().strip()


@dataclass(frozen=True)
class Done:
    """A program in the guest has ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="surrogateescape").strip()

    @property
    def words(self) -> str:
        return f"exit code {self.exit_code}\n{self.text}\n{self.stderr.decode(errors='replace')}"


def cache_folder() -> Path:
    folder = Path(os.environ.get("SNAPMIRROR_VM_CACHE") or "/var/tmp/snapmirror-vm-cache")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def input_hash() -> str:
    """Of all that goes into an image, Debian's packages of the day apart."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "vm").rglob("*")):
        if path.is_file() and not NOT_IN_THE_IMAGE & set(path.parts):
            digest.update(f"{path.relative_to(ROOT)} {path.stat().st_mode & 0o111}\n".encode() + path.read_bytes())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    digest.update("\n".join(project["dependencies"]).encode())
    return digest.hexdigest()[:16]


def built_image() -> Image:
    """The image of the present inputs, out of the cache or built now (a minute, and the downloads)."""
    if given := os.environ.get("SNAPMIRROR_VM_IMAGE"):
        return Image(Path(given))
    cache = cache_folder()
    folder = cache / f"image-{input_hash()}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        in_use = folder.with_suffix(".in-use").open("w")
        fcntl.flock(in_use, fcntl.LOCK_SH)  # until this process ends: overlays stand on the image
        _IN_USE.append(in_use)
        if not folder.exists():
            remove_old_images(cache, but=folder)
            building = cache / "building"
            argv = [str(ROOT / "vm/build"), "--output", str(building)]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
            assert done.returncode == 0, f"vm/build failed:\n{done.stderr.decode(errors='replace')[-4000:]}"
            building.rename(folder)
    return Image(folder)


def remove_old_images(cache: Path, but: Path) -> None:
    """All but one, and but those that another process uses."""
    for old in set(cache.glob("image-????????????????")) - {but}:
        in_use = old.with_suffix(".in-use")
        with in_use.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(old)
            in_use.unlink()


class Guest:
    """An appliance on its own overlay: it can be booted, killed, powered off and booted again."""

    def __init__(self, folder: Path, machine: Machine, key: Path) -> None:
        self.folder = folder
        self.machine = machine
        self.agent = Agent(machine.agent_socket)
        self._qmp = Qmp(machine.qmp_socket)
        self._key = key
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ssh_port(self) -> int:
        return self.machine.ssh_port

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def boot(self, clock: datetime | None = None) -> None:
        """Start it, and wait until ssh answers. `clock` is what the machine's own clock shows, instead of now."""
        assert not self.running
        self.machine = replace(self.machine, clock=f"{clock.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" if clock else "utc")
        for socket in (self.machine.qmp_socket, self.machine.agent_socket):
            socket.unlink(missing_ok=True)
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.machine.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        assert self._process is not None
        log = self.folder / "qemu.log"
        until(
            lambda: self.agent.ready() and self._ssh(["true"], timeout=60).returncode == 0, "the guest is up",
            running=self._process, said=lambda: log.read_text(errors="replace") + self.console()[-3000:],
            seconds=BOOT_SECONDS,
        )  # fmt: skip

    def kill(self) -> None:
        """The plug is pulled."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.disconnect()

    def power_off(self, timeout: float = 400) -> None:
        """The power button: the guest shuts down by itself."""
        assert self._process is not None
        self._qmp.command("system_powerdown")
        self._process.wait(timeout)
        self._process = None
        self.disconnect()

    def plug_in(self, disk: Path) -> None:
        """A further disk, raw, from the next boot on."""
        self.machine = replace(self.machine, disks=(*self.machine.disks, disk))

    def reboot(self) -> None:
        self.power_off()
        self.boot()

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", ok: Sequence[int] = (0,), timeout: float = 1800) -> Done:
        """A program in the guest, by ssh, as root."""
        done = self._ssh(argv, stdin=stdin, timeout=timeout)
        result = Done(done.returncode, done.stdout, done.stderr)
        assert done.returncode in ok, f"{shlex.join(argv)} in the guest: {result.words}"
        return result

    @contextmanager
    def started(self, argv: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        """A program running in the guest while something else happens to it."""
        process = subprocess.Popen(
            self._ssh_argv(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            yield process
        finally:
            process.terminate()
            process.communicate()

    def put(self, path: str, content: bytes, mode: int = 0o600) -> None:
        self.run(["install", f"--mode={mode:o}", "-D", "/dev/stdin", path], stdin=content)

    def get(self, path: str) -> bytes:
        return self.run(["cat", path]).stdout

    def push_source(self) -> None:
        """The present sources of snapmirror, and the tests' own tools; byte-compiled here, since the guest is slow.

        Folders are exchanged by renaming: a program that has just started (the export does at boot) compiles what it
        imports into the folder that is there, which could then not be removed.
        """
        with tempfile.TemporaryDirectory() as folder:
            for name in ("snapmirror", "tests/support"):
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, Path(folder, name), ignore=ignored)
            Path(folder, "tests/__init__.py").touch()
            compileall.compile_dir(folder, quiet=1, stripdir=folder, prependdir="/opt/snapmirror")
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w") as tar:
                tar.add(folder, arcname=".", filter=_of_root)
        self.run(["sh", "-c", _EXCHANGE], stdin=packed.getvalue())

    def set_clock(self, moment: datetime) -> None:
        self.run(["date", "--utc", f"--set=@{int(moment.timestamp())}"])

    def console(self) -> str:
        with suppress(FileNotFoundError):
            return self.machine.console_log.read_text(errors="replace")
        return ""

    def disconnect(self) -> None:
        """End the connection that ssh keeps for the next command."""
        argv = ["ssh", "-F", "none", "-o", f"ControlPath={self.folder}/ssh", "-O", "exit", "root@127.0.0.1"]
        subprocess.run(argv, stderr=subprocess.DEVNULL, check=False)

    def _ssh(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(self._ssh_argv(argv), input=stdin, capture_output=True, timeout=timeout, check=False)

    def _ssh_argv(self, argv: Sequence[str]) -> list[str]:
        # Options of a first connection: the guest has made its own host key, on this machine's loopback.
        options = [
            "UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "LogLevel=ERROR", "BatchMode=yes",
            "ConnectTimeout=30", "ServerAliveInterval=30", "ServerAliveCountMax=20",
            "ControlMaster=auto", f"ControlPath={self.folder}/ssh", "ControlPersist=yes",  # until disconnect()
        ]  # fmt: skip
        flags = [word for option in options for word in ("-o", option)]
        return [
            "ssh", "-F", "none", *flags, "-i", str(self._key), "-p", str(self.ssh_port), "root@127.0.0.1",
            shlex.join(argv),
        ]  # fmt: skip


@contextmanager
def guest(
    image: Image,
    *,
    seed: Path | None = None,
    credentials: Mapping[str, bytes] | None = None,
    uefi: str = "",
) -> Iterator[Guest]:
    """A guest on a fresh overlay, not booted yet; gone, with its overlay, on the way out.

    `seed` is a seed disk, `credentials` are further files of a seed, by name.
    `uefi` names a format ("vhdx"): that disk boots by firmware, instead of kernel and initrd. It has one processor: a
    second emulated one makes the same work a third dearer, as they wait for each other. It has no guards against its
    own programs either. (test_run starts vm/run's own machine: two processors, all guards, a host key that it makes.)
    """
    folder = Path(tempfile.mkdtemp(prefix="smvm-", dir="/var/tmp"))  # short: sockets allow 107 bytes
    try:
        key, host_key = folder / "key", folder / "host_key"
        for file in (key, host_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
        disk = folder / "disk.qcow2"
        base, form = (image.folder / f"snapmirror.{uefi}", uefi) if uefi else (image.folder / "root.qcow2", "qcow2")
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", str(base), str(disk)]
        subprocess.run(argv, check=True)
        # (with a host key it makes none, which is dear: above all RSA's; in test_run it makes its own)
        given = {"network/10-test.network": NETWORK, "ssh_host_ed25519_key": host_key.read_bytes()}
        files = {**given, **(credentials or {})}
        machine = Machine(
            folder=folder, disk=disk, seed=seed, ssh_port=free_port(), cpus=1, trusted=True, append=NO_EXPORT,
            credentials={
                "ssh.authorized_keys.root": key.with_suffix(".pub").read_bytes(),
                **{f"snapmirror.{name.replace('/', '..')}": content for name, content in files.items()},
            },
        )  # fmt: skip
        if not uefi:
            machine = replace(machine, kernel=image.folder / "vmlinuz", initrd=image.folder / "initrd")
        started = Guest(folder, machine, key)
        try:
            yield started
        finally:
            started.kill()
    finally:
        shutil.rmtree(folder)


@contextmanager
def booted(image: Image, *, credentials: Mapping[str, bytes] | None = None) -> Iterator[Guest]:
    """A guest that is up, with the present sources of snapmirror in it."""
    with guest(image, credentials=credentials) as started:
        started.boot()
        started.push_source()
        yield started


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
