"""What is in the built appliance, and what is not: nothing of the builder, nothing that only one machine may have."""

from __future__ import annotations

import re
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.vm import ROOT, Image

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def root(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image's root, mounted read-only."""
    folder = tmp_path_factory.mktemp("image")
    raw, mount_point = folder / "root.raw", folder / "root"
    mount_point.mkdir()
    subprocess.run(["qemu-img", "convert", "-O", "raw", image.folder / "root.qcow2", raw], check=True)
    subprocess.run(["mount", "--options", "loop,ro,noload", raw, mount_point], check=True)
    yield mount_point
    subprocess.run(["umount", mount_point], check=True)
    raw.unlink()


def test_what_each_machine_makes_for_itself_is_not_there(root: Path) -> None:
    assert (root / "etc/machine-id").read_bytes() == b""
    assert not list(root.glob("etc/ssh/ssh_host_*"))
    for name in ("root/.ssh", "var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "var/lib/snapmirror-vm"):
        assert not (root / name).exists(), name
    assert list((root / "etc/snapmirror").iterdir()) == []
    assert (root / "etc/snapmirror").stat().st_mode & 0o7777 == 0o700
    assert re.match(r"root:[*!]", (root / "etc/shadow").read_text()), "no password opens it"


def test_nothing_of_the_builder_is_there(root: Path) -> None:
    assert (root / "etc/hostname").read_text() == "snapmirror\n"
    assert not [path for path in (root / "var/log").rglob("*") if path.is_file()]
    assert not list((root / "usr/local/share").rglob("*.crt")), "certificates of the builder"
    assert not list((root / "tmp").iterdir())
    sources = [root / "etc/apt/sources.list", *(root / "etc/apt/sources.list.d").iterdir()]
    urls = {url for path in sources if path.exists() for url in re.findall(r"https?://\S+", path.read_text())}
    assert urls == {"http://deb.debian.org/debian", "http://deb.debian.org/debian-security"}
    apt = "".join(path.read_text() for path in (root / "etc/apt/apt.conf.d").iterdir())
    assert not re.search(r"(?i)^\s*acquire::\S*proxy", apt, re.MULTILINE)
    name = re.compile(rf"\b{re.escape(socket.gethostname())}\b")
    for file in ("hosts", "mailname", "fstab", "ssh/sshd_config", "apt/apt.conf"):
        path = root / "etc" / file
        assert not path.exists() or not name.search(path.read_text()), path


def test_snapmirror_is_there_and_nobody_else_may_change_it(root: Path) -> None:
    assert (root / "opt/snapmirror/snapmirror/__main__.py").exists()
    programs = [root / "usr/local/bin/snapmirror", *(root / "opt/snapmirror").rglob("*"),
                *(root / "usr/local/lib/snapmirror-vm").rglob("*"), *(root / "etc/systemd").rglob("*")]  # fmt: skip
    for path in programs:
        state = path.lstat()
        assert (state.st_uid, state.st_gid) == (0, 0), path
        assert path.is_symlink() or not state.st_mode & 0o022, path


def test_updates_are_of_security_only(root: Path) -> None:
    argv = ["chroot", str(root), "apt-config", "dump", "Unattended-Upgrade::Origins-Pattern"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert re.findall(r'::Origins-Pattern:: "(.*)";', said) == [
        "origin=Debian,codename=${distro_codename}-security,label=Debian-Security"
    ]


def test_what_is_to_start_is_enabled(root: Path) -> None:
    names = ("cron", "ssh", *(f"snapmirror-{name}" for name in ("configure", "hostkeys", "hostid", "catch-up")))
    wanted = {path.name for path in (root / "etc/systemd/system").glob("*.wants/*")}
    assert {f"{name}.service" for name in names} | {"snapmirror-catch-up.timer", "fstrim.timer"} <= wanted


def test_the_kernel_has_what_the_pages_name(image: Image, root: Path) -> None:
    """Disks and networks of Hyper-V, VirtualBox, VMware; and the two without which their defaults do not do."""
    modules = root / "lib/modules" / image.kernel_release
    names = {path.stem for path in modules.rglob("*.ko")}
    names |= {Path(line).stem for line in (modules / "modules.builtin").read_text().splitlines()}
    assert {
        "hv_storvsc",
        "hv_netvsc",
        "ata_piix",
        "virtio_scsi",
        "virtio_net",
        "vmw_pvscsi",
        "nvme",
        "vmxnet3",
    } <= names
    assert not {"ahci", "e1000"} & names, "the page `virtualbox` says otherwise"


def test_the_list_of_packages_is_true(image: Image, root: Path) -> None:
    """Two builds are compared by this list, so it has one form: name, version, architecture, in order."""
    lines = (image.folder / "packages").read_text().splitlines()
    debian = [line for line in lines if not line.endswith(" python")]
    python = [line for line in lines if line.endswith(" python")]
    assert lines == debian + python
    assert all(re.fullmatch(r"\S+ \S+ (amd64|all|python)", line) for line in lines)
    assert (debian, python) == (sorted(set(debian)), sorted(set(python)))
    status = (root / "var/lib/dpkg/status").read_text()
    assert len(debian) == len(re.findall(r"^Status: install ok installed$", status, re.MULTILINE))
    assert {"cron", "cifs-utils", "cryptsetup-bin", "rsync", "xfsprogs"} <= {line.split()[0] for line in debian}
    assert {"pydantic", "sh", "zstandard"} <= {line.split()[0] for line in python}
    assert f"linux-image-{image.kernel_release} " in "\n".join(debian)


@pytest.mark.parametrize("form", ["vhdx", "vmdk", "vdi"])
def test_the_uefi_disks_hold_the_same(image: Image, form: str) -> None:
    disk, raw = image.folder / f"snapmirror.{form}", image.folder / "snapmirror.raw"
    argv = ["qemu-img", "compare", "-f", form, "-F", "raw", str(disk), str(raw)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tar_for_wsl_has_no_kernel_and_starts_systemd(image: Image) -> None:
    with tarfile.open(image.folder / "snapmirror-wsl.tar.gz") as tar:
        names = set(tar.getnames())
        config = tar.extractfile("./etc/wsl.conf")
        assert config and b"[boot]\nsystemd=true\n" in config.read()
    assert "./opt/snapmirror/snapmirror/__main__.py" in names
    assert not [name for name in names if "/modules/" in name and name.endswith(".ko")]
    assert not [name for name in names if name.startswith("./boot/vmlinuz")]


def test_the_builder_says_how_it_is_used() -> None:
    for program in ("build", "seed", "zfs-module"):
        done = subprocess.run([ROOT / "vm" / program, "--wrong"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert f"vm/{program} " in done.stderr
