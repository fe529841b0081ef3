"""QEMU for the appliance: its command line, its control socket (QMP) and the agent in the guest.

Runs qemu-system-x86_64. Used by `vm/run` and by the tests. Python's standard library only.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT_LABEL = "SNAPMIRROR-VM"
FIRMWARE = Path("/usr/share/OVMF")
# Of the processor that QEMU emulates: `rep movsb` goes byte by byte there, so Linux must not think that it is fast; and
# a fifth level of page tables is one more step each time that a page is looked for.
SLOW = ("erms=off", "la57=off")
# What guards a machine against the programs in it, and costs an emulated one a tenth of its time. (Without svm the
# modules of KVM are not loaded. The timers would only look for packages, and a machine without network finds none.)
GUARDS = ("smap=off", "smep=off", "umip=off", "svm=off")
WITHOUT_GUARDS = (
    "mitigations=off", "init_on_alloc=0", "hardened_usercopy=off", "randomize_kstack_offset=off",
    *(f"systemd.mask={name}.timer" for name in ("apt-daily", "apt-daily-upgrade", "dpkg-db-backup")),
)  # fmt: skip


class QemuError(Exception):
    """QEMU or the guest did not do what was requested."""


@dataclass(frozen=True)
class Machine:
    """How QEMU is started. `folder` holds its sockets and the console's log."""

    folder: Path
    disk: Path
    disk_format: str = "qcow2"
    kernel: Path | None = None  # with `initrd`; without them the disk boots by UEFI
    initrd: Path | None = None
    seed: Path | None = None
    disks: tuple[Path, ...] = ()  # further ones, raw
    memory_mib: int = 768
    cpus: int = 2
    ssh_port: int = 0
    credentials: Mapping[str, bytes] = field(default_factory=dict)
    append: str = ""
    clock: str = "utc"  # or a moment of UTC: 2026-11-21T03:00:00
    trusted: bool = False  # for tests: without what guards against the programs in it

    @property
    def qmp_socket(self) -> Path:
        return self.folder / "qmp"

    @property
    def agent_socket(self) -> Path:
        return self.folder / "agent"

    @property
    def console_log(self) -> Path:
        return self.folder / "console.log"

    def argv(self) -> list[str]:
        """The whole command line. Credentials are passed in files: secrets must not be in argv."""
        argv = [
            "qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-user-config",
            *accelerator(trusted=self.trusted),
            "-rtc", f"base={self.clock}", "-smp", str(self.cpus), "-m", str(self.memory_mib),
            "-qmp", f"unix:{self.qmp_socket},server=on,wait=off",
            "-chardev", f"socket,id=agent,path={self.agent_socket},server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
            "-device", "virtio-rng-pci",
            "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22", "-device", "virtio-net-pci,netdev=net",
            "-drive", f"file={_escaped(self.disk)},format={self.disk_format},if=virtio,discard=unmap",
        ]  # fmt: skip
        if self.seed is not None:
            argv += ["-drive", f"file={_escaped(self.seed)},format=raw,if=virtio,readonly=on"]
        for disk in self.disks:
            argv += ["-drive", f"file={_escaped(disk)},format=raw,if=virtio,discard=unmap"]
        argv += ["-serial", f"file:{self.console_log}"]
        if self.kernel is not None:
            words = [f"root=LABEL={ROOT_LABEL}", "ro", "console=ttyS0,115200", "quiet"]
            words += [*(WITHOUT_GUARDS if self.trusted else ()), *self.append.split()]
            argv += ["-kernel", str(self.kernel), "-initrd", str(self.initrd), "-append", " ".join(words)]
        else:
            code, variables = FIRMWARE / "OVMF_CODE_4M.fd", self.folder / "firmware-variables"
            if not code.exists():
                raise QemuError("the UEFI firmware for QEMU is missing: install the package ovmf")
            if not variables.exists():
                variables.write_bytes((FIRMWARE / "OVMF_VARS_4M.fd").read_bytes())
            argv += ["-drive", f"if=pflash,format=raw,readonly=on,file={code}"]
            argv += ["-drive", f"if=pflash,format=raw,file={_escaped(variables)}"]
        for name, content in self.credentials.items():
            file = self.folder / f"credential.{name}"
            encoded = base64.b64encode(content).decode()
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(f"io.systemd.credential.binary:{name}={encoded}")
            argv += ["-smbios", f"type=11,path={_escaped(file)}"]
        return argv


def accelerator(*, trusted: bool = False) -> list[str]:
    """KVM if the processor's module is loaded and we may use it. /dev/kvm alone proves nothing: it may hang."""
    modules = any(Path("/sys/module", name).is_dir() for name in ("kvm_intel", "kvm_amd"))
    if modules and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-machine", "q35", "-accel", "kvm", "-cpu", "host"]
    processor = ",".join(["max", *SLOW, *(GUARDS if trusted else ())])
    return ["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", processor]


def ssh_answers(port: int) -> bool:
    """Whether an ssh server sends its greeting on the port. (QEMU accepts the connection in any case.)"""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


class Qmp:
    """QEMU's control socket: one connection per command, so that nothing stays open if we crash."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def command(self, name: str, **arguments: Any) -> Any:
        """Raises OSError when QEMU is gone, QemuError when it refuses."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self.path))
            with connection.makefile("rwb") as stream:
                json.loads(stream.readline())  # the greeting
                for message in ({"execute": "qmp_capabilities"}, {"execute": name, "arguments": arguments}):
                    stream.write(json.dumps(message).encode() + b"\n")
                    stream.flush()
                    answer = _answer(stream)
                return answer


def _answer(stream: Any) -> Any:
    while line := stream.readline():
        message = json.loads(line)
        if "error" in message:
            raise QemuError(message["error"]["desc"])
        if "return" in message:
            return message["return"]
    raise ConnectionError("the socket was closed")


class Agent:
    """The agent in the guest: works without a network, and before sshd is up."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def command(self, name: str, *, timeout: float = 30, **arguments: Any) -> Any:
        """One command on a new connection; leftover output of an earlier one is discarded first."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(self.path))
            with connection.makefile("rwb") as stream:
                token = time.monotonic_ns() % (1 << 31)
                # 0xFF makes the agent's parser discard the input of a timed-out caller
                sync = {"execute": "guest-sync-delimited", "arguments": {"id": token}}
                stream.write(b"\xff" + json.dumps(sync).encode() + b"\n")
                stream.flush()
                while (line := stream.readline()) and token != _return_of(line):
                    pass
                stream.write(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
                stream.flush()
                return _answer(stream)

    def ready(self) -> bool:
        try:
            self.command("guest-ping", timeout=5)
        except (OSError, ValueError, QemuError):
            return False
        return True

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 600) -> tuple[int, bytes, bytes]:
        """A program in the guest: exit code, stdout, stderr."""
        arguments: dict[str, Any] = {"path": argv[0], "arg": list(argv[1:]), "capture-output": True}
        if stdin:
            arguments["input-data"] = base64.b64encode(stdin).decode()
        started = self.command("guest-exec", **arguments)
        deadline = time.monotonic() + timeout
        while True:
            state = self.command("guest-exec-status", pid=started["pid"])
            if state["exited"]:
                out, err = (base64.b64decode(state.get(key, "")) for key in ("out-data", "err-data"))
                return state.get("exitcode", -state.get("signal", 0)), out, err
            if time.monotonic() > deadline:
                raise QemuError(f"{argv[0]} in the guest did not end within {timeout:g} seconds")
            time.sleep(0.1)


def _return_of(line: bytes) -> object:
    try:
        return json.loads(line.lstrip(b"\xff")).get("return")
    except ValueError:
        return None  # the rest of an earlier line


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")
