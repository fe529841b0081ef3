"""The ZFS backend on a real OpenZFS, in the guest: nights on the share, the contract of stores, what a night costs.

The modules come from vm/zfs-module, built for the guest's kernel (9 minutes, then cached) and laid over the running
guest as vm/build --zfs lays them over the image. An emulated guest is slow: the nights are run each time, the contract,
the promises of ZFS alone and the measuring with SNAPMIRROR_TEST_LONG=1.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.test_share_faults import NO_RESERVE, Life
from tests.support.appliance import STORE, Chain, chain, initialise_quickly, marks_of
from tests.support.fingerprint import compare
from tests.support.runner import LONG
from tests.support.vm import HOST, ROOT, Guest, Image, cache_folder, guest

pytestmark = pytest.mark.timeout(9000)
only_long = pytest.mark.skipif(not LONG, reason="half an hour in an emulated guest: SNAPMIRROR_TEST_LONG=1 runs it")
PYTEST = ("pytest", "pytest-timeout", "hypothesis", "psutil",
          "iniconfig", "packaging", "pluggy", "pygments", "sortedcontainers")  # what the first ones need  # fmt: skip
LOCK = ROOT / "scripts" / "requirements-test.txt"
TAGS = ("_2_28", "_2_17", "2014")
WHEELS = ["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11",
          *(word for tag in TAGS for word in ("--platform", f"manylinux{tag}_x86_64"))]  # fmt: skip
HOME = "/opt/snapmirror"
MIB = 1 << 20
DISK_MIB, NIGHTS = 200, 2


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The Windows server and the remote one."""
    with chain(tmp_path_factory.mktemp("zfs") / "chain", entries=40) as scene:
        yield scene


@pytest.fixture(scope="module")
def up(image: Image, around: Chain) -> Iterator[Guest]:
    """The appliance with ZFS and the tests in it."""
    archive = _zfs_archive(image.kernel_release)
    seed = around.seed(image_size="1G", more=NO_RESERVE)
    seed["snapmirror.toml"] = seed["snapmirror.toml"].replace(b"[store]\n", b'[store]\nbackend = "zfs"\n')
    with guest(image, credentials=seed) as machine:
        machine.boot()
        units = ["cron.service", "snapmirror-catch-up.service", "snapmirror-catch-up.timer"]
        machine.run(["systemctl", "disable", "--now", *units])  # nights are ours
        machine.run(["tar", "--extract", "--directory=/"], stdin=_unpacked(archive))
        machine.run(["depmod", image.kernel_release])
        machine.run(["systemctl", "start", "snapmirror-hostid.service"])  # what it does at the first boot with ZFS
        assert machine.run(["stat", "--format=%s", "/etc/hostid"]).text == "4"
        machine.push_source()
        for folder, names in ((_pytest_folder(), ["."]), (ROOT, ["tests", "pyproject.toml"])):
            packed = subprocess.run(
                ["tar", "--create", "--exclude-vcs", "--exclude=__pycache__", "--directory", str(folder), *names],
                check=True, stdout=subprocess.PIPE,
            )  # fmt: skip
            argv = ["tar", "--extract", "--no-same-owner", "--touch", f"--directory={HOME}"]
            machine.run(argv, stdin=packed.stdout)
        yield machine


def _zfs_archive(kernel: str) -> Path:
    argv = [str(ROOT / "vm" / "zfs-module"), "--kernel", kernel, "--output", str(cache_folder())]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"vm/zfs-module failed:\n{done.stderr[-4000:]}"
    return Path(done.stdout.strip())


def _unpacked(archive: Path) -> bytes:
    return subprocess.run(["zstd", "--decompress", "--stdout", str(archive)], check=True, stdout=subprocess.PIPE).stdout


def _pytest_folder() -> Path:
    """pytest for the guest's Python, in the cache of images."""
    folder = cache_folder() / f"guest-pytest-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    if not folder.exists():
        making = cache_folder() / "guest-pytest.new"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        locked = re.findall(r"^([a-z0-9-]+)(==(?:.*\\\n)*.*\n)", LOCK.read_text(), flags=re.MULTILINE)
        wanted = folder.with_suffix(".txt")
        wanted.write_text("".join(name + pin for name, pin in locked if name in PYTEST))
        options = ["--no-deps", "--require-hashes", "--requirement", str(wanted)]
        subprocess.run([*pip, "--target", str(making), *WHEELS, *options], check=True)
        making.rename(folder)
    return folder


def in_guest(machine: Guest, *words: str, seconds: float = 6000, **environment: str) -> str:
    settings = [f"{name}={value}" for name, value in {"PYTHONPATH": HOME, "TMPDIR": "/var/tmp", **environment}.items()]
    argv = ["env", f"--chdir={HOME}", *settings, "python3", *words]
    done = machine.run(argv, ok=range(256), timeout=seconds)
    assert done.exit_code == 0, done.words[-8000:]
    return done.text


BY_HAND = """set -e
mkdir -p /mnt/share /mnt/store
mount -t cifs $1 /mnt/share -o port=$2,credentials=/etc/snapmirror/smb.cred,vers=3.1.1,seal,hard
cryptsetup open --readonly --key-file /etc/snapmirror/image.key /mnt/share/snapmirror.img by-hand
zpool import -d /dev/mapper -o readonly=on -N snapmirror
mount --types zfs --options ro snapmirror/store/web1 /mnt/store
"""
NO_LONGER = "umount --recursive /mnt/store; zpool export snapmirror; cryptsetup close by-hand; umount /mnt/share"


class PoolLife(Life):
    """The same, where the store is a pool in the image."""

    def standing(self) -> str:
        """Also pools, and what is mounted of them."""
        script = "zpool list -H -o name; findmnt --noheadings --types zfs --output TARGET || true"
        return (super().standing() + " " + self.machine.run(["sh", "-c", script]).text).strip()


def test_nights_in_a_pool_on_the_share(up: Guest, around: Chain) -> None:
    """cifs, loop, dm-crypt, zpool: three nights, one of which fails in mid-transfer; browsed, verified, released."""
    life = PoolLife(up, around)
    initialise_quickly(up, "quick key")
    life.a_day()
    life.night()
    life.a_day()
    with life.fetching() as night:
        for session in psutil.Process(int((around.sshd.folder / "pid").read_text())).children(recursive=True):
            session.kill()
        assert night.end() == 12, night.said.decode()
    assert life.standing() == ""
    life.a_day()
    life.night()
    up.run(["snapmirror", "mount"])
    dated = f"{STORE}/web1/by-date"
    assert up.run(["ls", dated]).text.split() == sorted(life.sealed), "a failed night leaves no snapshot"
    for name, day in life.sealed.items():
        assert compare(day, marks_of(up, f"{dated}/{name}/."), ignore=("xattrs",)) == [], name
        mounted = up.run(["findmnt", "--noheadings", "--output=OPTIONS", "--target", f"{dated}/{name}/."]).text
        assert {"ro", "nodev", "nosuid", "noexec"} <= set(mounted.split(",")), mounted
    up.run(["snapmirror", "umount"])
    verdict = json.loads(up.run(["snapmirror", "verify", "--full", "--json"]).stdout)
    assert verdict["scrub"] == [], verdict
    assert life.standing() == ""
    up.run(["sh", "-c", BY_HAND, "sh", around.samba.unc(HOST), str(around.samba.port)])  # as the page `zfs` says it
    marks = marks_of(up, f"/mnt/store/.zfs/snapshot/{name}/tree")
    assert compare(day, marks, ignore=("xattrs",)) == [], name
    up.run(["sh", "-e", "-c", NO_LONGER])
    assert life.standing() == ""


@only_long
def test_contract_and_promises_of_its_own(up: Guest) -> None:
    words = ["-m", "pytest", "-p", "no:cacheprovider", "-v", "--durations=0", "--timeout=3000", "tests/contract"]
    said = in_guest(up, *words, SNAPMIRROR_TEST_BACKENDS="zfs")  # asserts that none failed
    print(said)
    assert " passed in " in said.splitlines()[-1] and "skipped" not in said, said


@only_long
def test_a_big_disk_image_of_which_a_few_sectors_change(
    up: Guest, record_property: Callable[[str, object], None]
) -> None:
    """8 sectors of a disk image a night: space of the first night and of the later ones, by kind of store."""
    table = {}
    for kind in ("zfs", "reflink", "whole"):
        folder = f"/var/tmp/{kind}"
        words = ["-m", "tests.support.space", folder, kind, str(DISK_MIB), str(NIGHTS)]
        table[kind] = json.loads(in_guest(up, *words).splitlines()[-1])
        up.run(["rm", "--recursive", "--force", folder])
        record_property(kind, table[kind])
        print(table[kind])
    later = {kind: max(measured["taken_bytes"][1:]) for kind, measured in table.items()}
    assert later["zfs"] < 4 * MIB  # 8 records of 128 KiB, and metadata
    assert later["reflink"] < 4 * MIB
    assert later["whole"] > 0.95 * DISK_MIB * MIB
