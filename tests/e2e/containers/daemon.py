"""A Docker daemon of the tests' own. Programs: setpriv, unshare, tini, ip, dockerd, docker.

It lives in namespaces of its own: its bridges, its firewall rules, `ip_forward`, its mounts and its processes are not
this machine's, and vanish with it, however it ends. A Docker that this machine may have does not notice. The price:
nothing in it reaches the outside, so images are made on the host (see `debian`), and no port of a container can be
reached from here; tests go in by `docker exec`.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.waiting import until

# Debian's own: another docker on PATH may be too new for Debian's daemon.
DOCKER = "/usr/bin/docker"
COMPOSE = "/usr/bin/docker-compose"
_STOP_SECONDS = 120


@dataclass(frozen=True)
class Daemon:
    """A running dockerd. `folder` is all that it has on the disk."""

    folder: Path
    process: psutil.Process

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/socket"

    def docker(
        self, *words: str | Path, ok: Sequence[int] = (0,), timeout: float = 300, text: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the client; `text` is its standard input."""
        argv = [DOCKER, "--host", self.host, *map(str, words)]
        done = subprocess.run(argv, input=text, capture_output=True, timeout=timeout, check=False)
        assert done.returncode in ok, f"{argv}: exit code {done.returncode}\n{done.stdout!r}\n{done.stderr.decode()}"
        return done


@contextmanager
def dockerd_running() -> Iterator[Daemon]:
    """A daemon without any image. On the way out it, its containers and its folder are gone."""
    # in /var/tmp: a socket's path must be short, and overlay wants a disk
    folder = Path(tempfile.mkdtemp(prefix="snapmirror-docker-", dir="/var/tmp"))
    try:
        with _running(folder) as daemon:
            yield daemon
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(folder: Path) -> Iterator[Daemon]:
    cgroup = folder.name
    dockerd = [
        "dockerd", "--host", f"unix://{folder}/socket",
        "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid",
        "--bridge", "none", "--log-level", "warn",
        # not systemd's: it would be told process ids of another namespace
        "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{cgroup}",
    ]  # fmt: skip
    argv = [
        # The tests' own death is the daemon's, and then the kernel ends all of its namespace.
        "setpriv", "--pdeathsig", "KILL",
        "unshare", "--net", "--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--mount-proc",
        "tini", "-s", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *dockerd,
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        daemon = Daemon(folder, psutil.Process(process.pid))
        _wait_for(daemon, process)
        yield daemon
    finally:
        _stop(process)
        _remove_cgroups(cgroup)


def _wait_for(daemon: Daemon, process: subprocess.Popen[bytes]) -> None:
    until(
        lambda: daemon.docker("version", ok=range(256)).returncode == 0, "dockerd answers",
        running=process, said=lambda: (daemon.folder / "log").read_text(errors="replace"),
    )  # fmt: skip


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask tini, which asks dockerd; `unshare` itself listens to nothing but SIGKILL, which is the end of them all."""
    with suppress(psutil.Error):
        for tini in psutil.Process(process.pid).children():
            tini.terminate()
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _remove_cgroups(name: str) -> None:
    """Empty ones that the daemon leaves: one in each hierarchy (cgroups v1), or one (v2)."""
    for group in [*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")]:
        for path in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
            path.rmdir()
        group.rmdir()
