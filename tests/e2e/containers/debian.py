"""What goes into the containers, made on the host: Debian by mmdebstrap, Python packages by pip.

No registry of images is asked: it may be out of reach, and what it hands out changes. One image serves all three
containers, so that a single minute makes it; each one's Dockerfile says what it runs. Both parts are cached beside the
appliance (`tests.support.vm.cache_folder`), by a hash of what they are made from.

Programs: mmdebstrap, pip.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.runner import REPOSITORY
from tests.support.vm import cache_folder

SUITE = "bookworm"
PACKAGES = (
    "openssh-server", "openssh-client", "rsync", "python3",  # python3: rrsync on the server, snapmirror on the manager
    "samba", "samba-vfs-modules", "smbclient", "smbnetfs",
    "xfsprogs", "qemu-utils", "qemu-system-common", "fuse3", "dmsetup", "cryptsetup-bin", "procps",
    "acl", "attr", "iproute2",
)  # fmt: skip
_OPTIONS = [
    "--variant=minbase", "--format=tar", '--aptopt=Apt::Install-Recommends "false"',
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")),
]  # fmt: skip


def base_tar() -> Path:
    """The root of a Debian with everything in it that the three containers run."""
    argv = ["mmdebstrap", *_OPTIONS, f"--include={','.join(PACKAGES)}", SUITE]

    def make(target: Path) -> None:
        # in a mount namespace: as root it mounts /proc and more into what it makes
        _run(["unshare", "--mount", *argv, str(target)])

    return _cached("containers", ".tar", repr(argv), make)


def python_packages() -> Path:
    """A folder for PYTHONPATH with what snapmirror depends on, for Debian's own Python."""
    wanted = REPOSITORY / "scripts" / "requirements-run.txt"

    def make(target: Path) -> None:
        options = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore", "--only-binary=:all:"]
        _run([sys.executable, "-m", "pip", "--python", "/usr/bin/python3", "install", *options,
              "--target", str(target), "--require-hashes", "--requirement", str(wanted)])  # fmt: skip
        (target / "snapmirror").mkdir()  # where the sources are mounted

    return _cached("python", "", repr([SUITE, wanted.read_text()]), make)


def _cached(name: str, suffix: str, inputs: str, make: Callable[[Path], None]) -> Path:
    cache = cache_folder()
    target = cache / f"{name}-{hashlib.sha256(inputs.encode()).hexdigest()[:16]}{suffix}"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            for old in cache.glob(f"{name}-*"):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            make(cache / f"{name}-new{suffix}")
            (cache / f"{name}-new{suffix}").rename(target)  # complete, or not there
    return target


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
