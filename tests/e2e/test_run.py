"""vm/run: boots, says how to log in, lets in by key only, stops cleanly, and has the same machine at the next run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.sshd import free_port
from tests.support.vm import BOOT_SECONDS, NETWORK, ROOT, Image
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(3600)


def test_it_runs_and_stops_and_is_the_same_machine_again(image: Image, tmp_path: Path) -> None:
    key, seed, state, port = tmp_path / "key", tmp_path / "seed", tmp_path / "state", free_port()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (seed / "network").mkdir(parents=True)
    (seed / "network/10-test.network").write_bytes(NETWORK)
    (seed / "authorized_keys").write_bytes(key.with_suffix(".pub").read_bytes())
    (seed / "appliance.toml").write_text('hostname = "try1"\n')
    options = ["--image", str(image.folder), "--state", str(state), "--ssh-port", str(port)]

    with running([*options, "--seed", str(seed)], tmp_path / "first") as machine:
        wait_until_up(machine, tmp_path / "first")
        assert f"ssh -p {port} root@127.0.0.1" in (tmp_path / "first").read_text()
        assert ssh(key, port, "hostname").stdout == "try1\n"
        refused = ssh(Path("/dev/null"), port, "true")
        assert "(publickey)" in refused.stderr, "no password is asked for"
        again = run(options)
        assert (again.returncode, "a machine runs from" in again.stderr) == (1, True)
        assert ssh(key, port, "touch", "/root/kept").returncode == 0
        host_key = ssh(key, port, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout

        stopped = run(["--state", str(state), "--stop"])
        assert stopped.returncode == 0, stopped.stderr
        assert machine.wait(60) == 0
        assert (tmp_path / "first").read_text().endswith("off\n")
        assert not (state / "seed.raw").exists(), "it may hold secrets"

    with running(options, tmp_path / "second") as machine:  # the seed is not needed any more
        wait_until_up(machine, tmp_path / "second")
        assert ssh(key, port, "ls", "/root/kept").returncode == 0
        assert ssh(key, port, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout == host_key
        machine.send_signal(signal.SIGINT)
        assert machine.wait(600) == 0
        assert (tmp_path / "second").read_text().endswith("stopping\noff\n")
    assert run(["--state", str(state), "--stop"]).returncode == 1, "nothing runs there"


def run(options: list[str]) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(ROOT / "vm/run"), *options]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@contextmanager
def running(options: list[str], said: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, str(ROOT / "vm/run"), *options]
    with said.open("wb") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        for _ in range(2):  # the second one pulls the plug
            process.send_signal(signal.SIGINT)
            time.sleep(1)
        process.wait()


def wait_until_up(machine: subprocess.Popen[bytes], said: Path) -> None:
    until(
        lambda: "log in with" in said.read_text(), "the machine is up",
        running=machine, said=said.read_text, seconds=BOOT_SECONDS,
    )  # fmt: skip


def ssh(key: Path, port: int, *words: str) -> subprocess.CompletedProcess[str]:
    wanted = ("UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "BatchMode=yes", "LogLevel=ERROR",
              "IdentitiesOnly=yes")  # fmt: skip
    options = [word for option in wanted for word in ("-o", option)]
    argv = ["ssh", "-F", "none", *options, "-i", str(key), "-p", str(port), "root@127.0.0.1", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)
