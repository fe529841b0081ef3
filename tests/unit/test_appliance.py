"""How the appliance configures itself: seeds and settings land where they belong, once, and mistakes are sentences."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

from tests.support.storage import put_first_on_path
from vm.qemu import Machine

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "vm/rootfs/usr/local/lib/snapmirror-vm"


def program(name: str) -> Any:
    """The module of one of the appliance's programs, which are no package."""
    spec = importlib.util.spec_from_file_location(f"appliance_{name}", PROGRAMS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree as the appliance's is, as far as it is configured."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/shadow").write_text("root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\n")
    (root / "etc/shadow").chmod(0o640)
    return root


def configure(root: Path, *seeds: Path) -> subprocess.CompletedProcess[str]:
    """The very program of the boot; --no-seed keeps it from this machine's own disks and credentials."""
    argv = [sys.executable, str(PROGRAMS / "configure.py"), "--root", str(root), "--no-seed"]
    argv += [word for seed in seeds for word in ("--seed", str(seed))]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def seed(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_each_file_of_a_seed_has_its_place_and_its_mode(root: Path, tmp_path: Path) -> None:
    files = {
        "snapmirror.toml": b"[store]\n", "smb.cred": b"username=x\n", "image.key": b"\xef\xbb\xbfk\r\n\x00",
        "authorized_keys": b"ssh-ed25519 AAAA x\n", "network/10-lan.network": b"[Match]\n",
    }  # fmt: skip
    done = configure(root, seed(tmp_path / "seed", **files))
    assert done.returncode == 0, done.stderr
    assert (root / "etc/snapmirror/snapmirror.toml").read_bytes() == b"[store]\n"
    assert (root / "etc/snapmirror/image.key").read_bytes() == b"\xef\xbb\xbfk\r\n\x00", "every byte is the key"
    for name in ("etc/snapmirror/snapmirror.toml", "etc/snapmirror/smb.cred", "root/.ssh/authorized_keys"):
        assert mode(root / name) == 0o600, name
        assert mode((root / name).parent) == 0o700
    assert mode(root / "etc/systemd/network/10-lan.network") == 0o644, "networkd is another user"


def test_a_folder_that_was_taken_need_not_keep_its_secrets(root: Path, tmp_path: Path) -> None:
    """As the folder of Windows from which WSL2 is configured: each secret in it is named."""
    key = b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n"
    files = {"snapmirror.toml": b"", "image.key": b"k", "usb.cred": b"x", "id_ed25519": key, "known_hosts": b"x"}
    for _ in range(2):  # at the second time, too, when nothing is new
        done = configure(root, seed(tmp_path / "seed", **files))
        [line] = [line for line in done.stdout.splitlines() if "wipe these secrets" in line]
        assert set(re.split("[ ,:]+", line)) >= {str(tmp_path / "seed"), "image.key", "usb.cred", "id_ed25519"}
        assert "known_hosts" not in line and "snapmirror.toml" not in line
    assert "secrets" not in configure(root, seed(tmp_path / "other", **{"snapmirror.toml": b""})).stdout


def test_what_an_editor_of_windows_adds_is_taken_away(root: Path, tmp_path: Path) -> None:
    written = b"\xef\xbb\xbfusername=backup\r\npassword=secret"
    assert configure(root, seed(tmp_path / "seed", **{"smb.cred": written})).returncode == 0
    assert (root / "etc/snapmirror/smb.cred").read_bytes() == b"username=backup\npassword=secret\n"


def test_a_second_boot_changes_nothing(root: Path, tmp_path: Path) -> None:
    settings = (
        b'hostname = "b1"\ntimezone = "Europe/Berlin"\nroot_password_hash = "$6$x$y"\ntime_servers = ["10.0.0.1"]\n'
    )
    folder = seed(tmp_path / "seed", **{"appliance.toml": settings, "smb.cred": b"username=x\n"})
    assert "configured" in configure(root, folder).stdout
    before = {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in root.rglob("*")}
    done = configure(root, folder)
    assert (done.returncode, "configured" in done.stdout) == (0, False)
    assert before == {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in root.rglob("*")}


def test_what_a_seed_does_not_name_stays_and_a_mode_is_put_right(root: Path, tmp_path: Path) -> None:
    configure(root, seed(tmp_path / "seed", **{"smb.cred": b"username=x\n", "image.key": b"k"}))
    (root / "etc/snapmirror/smb.cred").chmod(0o644)
    configure(root, seed(tmp_path / "other", **{"smb.cred": b"username=x\n"}))
    assert mode(root / "etc/snapmirror/smb.cred") == 0o600
    assert (root / "etc/snapmirror/image.key").exists(), "the disk may be taken away, or hold less"


def test_settings_become_files(root: Path, tmp_path: Path) -> None:
    settings = (
        b'hostname = "backup1"\ntimezone = "Europe/Berlin"\ntime_servers = ["192.168.1.1", "ntp.example"]\n'
        b'night = "22:05"\njitter_minutes = 30\nsecurity_updates = true\nroot_password_hash = "$6$salt$hash"\n'
    )
    assert configure(root, seed(tmp_path / "seed", **{"appliance.toml": settings})).returncode == 0
    assert "\n5 22 * * *  root  /usr/local/lib/snapmirror-vm/night 30\n" in (root / "etc/cron.d/snapmirror").read_text()
    assert mode(root / "etc/cron.d/snapmirror") == 0o644, "cron refuses others"
    assert os.readlink(root / "etc/localtime") == "/usr/share/zoneinfo/Europe/Berlin"
    assert (root / "etc/hostname").read_text() == "backup1\n"
    assert (
        root / "etc/systemd/timesyncd.conf.d/snapmirror.conf"
    ).read_text() == "[Time]\nNTP=192.168.1.1 ntp.example\n"
    assert 'Unattended-Upgrade "1"' in (root / "etc/apt/apt.conf.d/20auto-upgrades").read_text()
    assert (root / "etc/shadow").read_text().splitlines()[0] == "root:$6$salt$hash:20000:0:99999:7:::"
    assert mode(root / "etc/shadow") == 0o640


def test_without_settings_the_night_is_at_three_and_updates_are_off(root: Path) -> None:
    assert configure(root).returncode == 0
    assert "\n0 3 * * *  root " in (root / "etc/cron.d/snapmirror").read_text()
    assert 'Unattended-Upgrade "0"' in (root / "etc/apt/apt.conf.d/20auto-upgrades").read_text()
    assert not (root / "etc/hostname").exists()


def test_a_night_that_somebody_else_starts_is_neither_croned_nor_caught_up(root: Path, tmp_path: Path) -> None:
    assert configure(root, seed(tmp_path / "seed", **{"appliance.toml": b'night = "off"\n'})).returncode == 0
    assert "root" not in (root / "etc/cron.d/snapmirror").read_text()
    caught_up = program("catch_up")
    caught_up.SETTINGS, caught_up.STAMPS = root / "etc/snapmirror/appliance.toml", (root / "stamp",)
    (root / "stamp").touch()
    os.utime(root / "stamp", (0, 0))
    assert caught_up.main() == 0


def test_a_seed_may_say_who_the_machine_is_to_ssh(root: Path, tmp_path: Path) -> None:
    """So that whoever made the seed knows the key before the first connection."""
    key = b"-----BEGIN OPENSSH PRIVATE KEY-----\r\nx\r\n-----END OPENSSH PRIVATE KEY-----\r\n"
    assert configure(root, seed(tmp_path / "seed", ssh_host_ed25519_key=key)).returncode == 0
    placed = root / "etc/ssh/ssh_host_ed25519_key"
    assert (placed.read_bytes(), mode(placed)) == (key.replace(b"\r\n", b"\n"), 0o600)


def test_wrong_settings_are_named_all_at_once_and_change_nothing(root: Path, tmp_path: Path) -> None:
    configure(root)
    cron = (root / "etc/cron.d/snapmirror").read_text()
    settings = b'night = "25:00"\nhostname = "a b"\njitter_minutes = true\ncolour = 1\ntime_servers = "x"\n'
    files = {"appliance.toml": settings, "smb.cred": b"username=x\n", "folder/x": b""}
    done = configure(root, seed(tmp_path / "seed", **files))
    assert done.returncode == 1
    for key in ("night", "hostname", "jitter_minutes", "time_servers"):
        assert f"{key} must be" in done.stderr
    assert "colour is not known" in done.stderr
    assert "'folder/x' has no place" in done.stderr
    assert (root / "etc/cron.d/snapmirror").read_text() == cron
    assert (root / "etc/snapmirror/smb.cred").exists(), "the rest of the seed counts"


@pytest.mark.parametrize(
    "settings",
    ['timezone = "Mars/Base"', 'timezone = "../../etc/shadow"', "jitter_minutes = 1000", "night = ", "night = 3"],
)
def test_wrong_settings(root: Path, tmp_path: Path, settings: str) -> None:
    done = configure(root, seed(tmp_path / "seed", **{"appliance.toml": settings.encode()}))
    assert done.returncode == 1
    assert "appliance.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_credentials_are_named_with_dots(tmp_path: Path) -> None:
    folder = seed(
        tmp_path / "credentials",
        **{"snapmirror.smb.cred": b"x", "snapmirror.network..10-a.network": b"y", "ssh.authorized_keys.root": b"z"},
    )
    assert program("configure").from_credentials(folder) == {"smb.cred": b"x", "network/10-a.network": b"y"}
    assert program("configure").from_credentials(tmp_path / "none") == {}


@pytest.mark.parametrize("name", ["../x", "network/../x.network", "a/b", "network/x.conf", "/etc/passwd", "network/"])
def test_a_name_of_a_seed_stays_in_its_place(name: str) -> None:
    assert program("configure").target_of(name) is None


def test_a_seed_disk_of_windows_brings_more_than_the_seed(tmp_path: Path) -> None:
    folder = seed(
        tmp_path / "seed", **{"System Volume Information/x": b"", ".Trash/y": b"", "$RECYCLE.BIN/z": b"", "a": b"1"}
    )
    assert program("configure").from_folder(folder) == {"a": b"1"}


class Nights:
    """The programs around a night, with small systemctl, snapmirror, agetty before them on PATH."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._monkeypatch = folder, monkeypatch
        self.catch_up, self.night_ended = program("catch_up"), program("night_ended")
        self.good, self.ended, self.failure = (folder / name for name in ("last-night", "last-ended", "failure"))
        self.settings = self.catch_up.SETTINGS = folder / "appliance.toml"
        self.catch_up.STAMPS = (self.good, self.ended)
        self.night_ended.ISSUE = folder / "issue.d/snapmirror.issue"
        self.good.touch()
        monkeypatch.setenv("STATE_DIRECTORY", str(folder))
        self.fake("systemctl", f'echo "$*" >> {folder}/systemctl; echo running')
        self.fake("agetty", "")
        self.fake("snapmirror", f"cat {folder}/status")

    def fake(self, name: str, script: str) -> None:
        put_first_on_path(self.folder / "bin", name, script, self._monkeypatch.setenv)

    def ends(self, status: str) -> None:
        self._monkeypatch.setenv("EXIT_STATUS", status)
        assert self.night_ended.main() == 0

    def caught_up(self) -> bool:
        (self.folder / "systemctl").unlink(missing_ok=True)
        assert self.catch_up.main() == 0
        log = self.folder / "systemctl"
        return log.exists() and "start --no-block snapmirror-night.service" in log.read_text()

    def state(self, *words: str) -> str:
        return subprocess.run([PROGRAMS / "state", *words], capture_output=True, text=True, check=True).stdout


def test_a_seed_disk_that_is_still_attached_is_told_at_each_login(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEED_DISK", str(nights.folder / "SNAPSEED"))
    assert "seed" not in nights.state()
    (nights.folder / "SNAPSEED").touch()
    assert "wipe it" in nights.state()
    assert "seed" not in nights.state("--dated"), "it may be gone when that is read"


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    return Nights(tmp_path, monkeypatch)


def days_ago(path: Path, days: float) -> None:
    moment = time.time() - days * 86400
    os.utime(path, (moment, moment))


def test_a_night_is_made_up_only_if_nothing_could_start_or_end_it(nights: Nights) -> None:
    assert not nights.caught_up(), "the first boot counts"
    days_ago(nights.good, 2)
    assert nights.caught_up()
    nights.ends("11")
    assert not nights.caught_up(), "it failed by itself, and that is told"
    days_ago(nights.ended, 2)
    nights.settings.write_text("catch_up = false\n")
    assert not nights.caught_up()
    nights.settings.write_text("")
    assert nights.caught_up()
    nights.fake("systemctl", "echo activating")
    assert not nights.caught_up(), "it is under way"


def test_cron_goes_first_after_its_pause(nights: Nights) -> None:
    """The night was due 20 minutes ago, and cron's pause may still last."""
    due = datetime.now() - timedelta(minutes=20)
    days_ago(nights.good, 0.5)
    nights.settings.write_text(f'night = "{due:%H:%M}"\njitter_minutes = 30\n')
    assert not nights.caught_up()
    nights.settings.write_text(f'night = "{due:%H:%M}"\n')
    assert nights.caught_up()


def test_a_night_that_a_shutdown_breaks_off_has_not_ended(nights: Nights) -> None:
    nights.fake("systemctl", "echo stopping; exit 1")
    nights.ends("143")
    assert not nights.ended.exists()
    assert not nights.failure.exists()


def test_who_logs_in_is_told_how_the_nights_are_doing(nights: Nights) -> None:
    assert nights.state() == "snapmirror: there was no good night yet\n"
    nights.ends("3")
    assert re.fullmatch(r"snapmirror: the last good night ended on 20..-..-.. ..:.., 0 hours ago\n", nights.state())
    days_ago(nights.good, 3.1)
    sentence, hint = r"web1: //winhost/b has not answered for 300 seconds \o/", "is the Windows host running?"
    (nights.folder / "status").write_text(f"{sentence}\n  hint: {hint}\n")
    nights.ends("11")
    told = nights.state()
    assert ", 3 DAYS AGO\nsnapmirror: THE LAST NIGHT FAILED, on " in told
    assert f"    exit code 11\n    {sentence}\n      hint: {hint}\n" in told
    console = nights.night_ended.ISSUE.read_text()
    assert "AGO" not in console, "it stays on the console"
    assert r"\\o/" in console, "agetty takes backslashes for its own"
    nights.ends("0")
    assert "FAILED" not in nights.state() + nights.night_ended.ISSUE.read_text()


def test_a_night_that_says_nothing_is_told_as_well(nights: Nights) -> None:
    (nights.folder / "status").touch()
    nights.ends("KILL")
    assert "exit code KILL\n    'journalctl" in nights.state()


@pytest.mark.parametrize(("minutes", "sleeps"), [("30", True), ("0", False)])
def test_cron_pauses_before_the_night(nights: Nights, minutes: str, sleeps: bool) -> None:
    nights.fake("sleep", f'echo "$1" > {nights.folder}/slept')
    subprocess.run([PROGRAMS / "night", minutes], check=True)
    slept = nights.folder / "slept"
    assert slept.exists() == sleeps
    assert not sleeps or 0 <= int(slept.read_text()) <= 1800
    assert (nights.folder / "systemctl").read_text() == "start --no-block snapmirror-night.service\n"


def test_another_tree_is_not_the_machine(root: Path) -> None:
    """(A chroot is one: its root is not that of process 1.)"""
    is_this_machine = program("settings").is_this_machine
    assert not is_this_machine(root)


def test_secrets_do_not_stand_on_qemus_command_line(tmp_path: Path) -> None:
    machine = Machine(folder=tmp_path, disk=tmp_path / "disk", kernel=tmp_path / "k", initrd=tmp_path / "i",
                      credentials={"snapmirror.smb.cred": b"password=hunter2"})  # fmt: skip
    argv = machine.argv()
    assert f"type=11,path={tmp_path}/credential.snapmirror.smb.cred" in argv
    assert mode(tmp_path / "credential.snapmirror.smb.cred") == 0o600
    assert not any("hunter2" in word or "cGFzc3dvcmQ" in word for word in argv)


def test_a_seed_disk_is_made_without_root(tmp_path: Path) -> None:
    folder = seed(tmp_path / "seed", **{"smb.cred": b"username=x\n", "network/10-a.network": b"[Match]\n"})
    disk = tmp_path / "seed.raw"
    subprocess.run([ROOT / "vm/seed", folder, disk], check=True)
    assert mode(disk) == 0o600
    listed = subprocess.run(["mdir", "-i", disk, "-b", "-/", "::"], capture_output=True, text=True, check=True).stdout
    assert set(listed.split()) == {"::/smb.cred", "::/network/", "::/network/10-a.network"}
    label = subprocess.run(["blkid", "--probe", "--match-tag", "LABEL", "--output", "value", disk],
                           capture_output=True, text=True, check=True)  # fmt: skip
    assert label.stdout.strip() == "SNAPSEED"


def test_a_seed_disk_that_was_made_for_a_run_is_wiped_after_it(tmp_path: Path) -> None:
    loader = SourceFileLoader("vm_run", str(ROOT / "vm/run"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    vm_run: Any = importlib.util.module_from_spec(spec)
    loader.exec_module(vm_run)
    folder = seed(tmp_path / "seed", **{"image.key": b"nobody-may-see-this"})
    with vm_run.seed_disk(folder, tmp_path) as disk:
        os.link(disk, tmp_path / "same")
        assert b"nobody-may-see-this" in disk.read_bytes()
    assert not disk.exists()
    assert not (tmp_path / "same").read_bytes().strip(b"\0"), "overwritten"
    with vm_run.seed_disk(tmp_path / "same", tmp_path) as given:
        assert given == tmp_path / "same"
    assert given.exists(), "a disk of one's own stays"
