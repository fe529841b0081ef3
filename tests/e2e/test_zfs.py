"""The ZFS backend on a real OpenZFS, in the guest: the contract of stores, its own promises, and what a night costs.

The modules come from vm/zfs-module, built for the guest's kernel (5 minutes, then cached) and laid over the running
guest as vm/build --zfs lays them over the image. An emulated guest is slow, so this is for SNAPMIRROR_TEST_LONG=1 only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.runner import LONG
from tests.support.vm import ROOT, Guest, Image, booted, cache_folder

pytestmark = [
    pytest.mark.timeout(9000),
    pytest.mark.skipif(not LONG, reason="an hour in an emulated guest: SNAPMIRROR_TEST_LONG=1 runs it"),
]
PYTEST = ["pytest", "pytest-timeout", "hypothesis", "psutil"]
TAGS = ("_2_28", "_2_17", "2014")
WHEELS = ["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11",
          *(word for tag in TAGS for word in ("--platform", f"manylinux{tag}_x86_64"))]  # fmt: skip
HOME = "/opt/snapmirror"
MIB = 1 << 20
DISK_MIB, NIGHTS = 200, 2


@pytest.fixture(scope="module")
def guest(image: Image) -> Iterator[Guest]:
    """The appliance with ZFS and the tests in it."""
    archive = _zfs_archive(image.kernel_release)
    with booted(image) as up:
        up.run(["tar", "--extract", "--directory=/"], stdin=_unpacked(archive))
        up.run(["depmod", image.kernel_release])
        up.run(["modprobe", "zfs"])
        for folder in (_pytest_folder(), ROOT):
            names = ["."] if folder != ROOT else ["tests", "pyproject.toml"]
            packed = subprocess.run(
                ["tar", "--create", "--exclude=__pycache__", "--directory", str(folder), *names],
                check=True, stdout=subprocess.PIPE,
            )  # fmt: skip
            up.run(["tar", "--extract", "--no-same-owner", f"--directory={HOME}"], stdin=packed.stdout)
        yield up


def _zfs_archive(kernel: str) -> Path:
    argv = [str(ROOT / "vm" / "zfs-module"), "--kernel", kernel, "--output", str(cache_folder())]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"vm/zfs-module failed:\n{done.stderr[-4000:]}"
    return Path(done.stdout.strip())


def _unpacked(archive: Path) -> bytes:
    return subprocess.run(["zstd", "--decompress", "--stdout", str(archive)], check=True, stdout=subprocess.PIPE).stdout


def _pytest_folder() -> Path:
    """pytest for the guest's Python, in the cache of images."""
    folder = cache_folder() / "guest-pytest"
    if not folder.exists():
        making = cache_folder() / "guest-pytest.new"
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            "install",
            "--target",
            str(making),
        ]
        subprocess.run([*pip, *WHEELS, *PYTEST], check=True)
        making.rename(folder)
    return folder


def in_guest(guest: Guest, *words: str, seconds: float = 6000, **environment: str) -> str:
    settings = [f"{name}={value}" for name, value in {"PYTHONPATH": HOME, "TMPDIR": "/var/tmp", **environment}.items()]
    argv = ["env", f"--chdir={HOME}", *settings, "python3", *words]
    done = guest.run(argv, ok=range(256), timeout=seconds)
    assert done.exit_code == 0, done.words[-8000:]
    return done.text


def test_contract_and_promises_of_its_own(guest: Guest) -> None:
    words = ["-m", "pytest", "-p", "no:cacheprovider", "-q", "--timeout=3000", "tests/contract"]
    said = in_guest(guest, *words, SNAPMIRROR_TEST_BACKENDS="zfs")
    assert " passed" in said and "skipped" not in said and "failed" not in said, said
    print(said)


def test_a_big_disk_image_of_which_a_few_sectors_change(
    guest: Guest, record_property: Callable[[str, object], None]
) -> None:
    """8 sectors of a disk image a night: space of the first night and of the later ones, by kind of store."""
    table = {}
    for kind in ("zfs", "reflink", "whole"):
        folder = f"/var/tmp/{kind}"
        table[kind] = json.loads(
            in_guest(guest, "-m", "tests.support.space", folder, kind, str(DISK_MIB), str(NIGHTS)).splitlines()[-1]
        )
        guest.run(["rm", "--recursive", "--force", folder])
        record_property(kind, table[kind])
        print(table[kind])
    later = {kind: max(measured["taken_bytes"][1:]) for kind, measured in table.items()}
    assert later["zfs"] < 4 * MIB  # 8 records of 128 KiB, and metadata
    assert later["reflink"] < 4 * MIB
    assert later["whole"] > 0.95 * DISK_MIB * MIB
