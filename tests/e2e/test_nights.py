"""Real nights of the appliance under QEMU: kernel cifs, LUKS2 by dm-crypt, XFS, rsync over ssh, fired by its own cron.

Each night ends with a copy of the image onto a second share, the USB disk.

Samba on loopback stands for the Windows server (SMB 3.1.1, encryption required), a private sshd with a random tree for
the remote server. What the guest sealed is compared with what the server was that night, from inside, and, on that
copy, by stock cryptsetup and mount when snapmirror was removed.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.appliance import (
    IMAGE_KEY,
    STORE,
    Chain,
    chain,
    clock,
    initialise_quickly,
    journal,
    last_night,
    marks_of,
    next_night_by_cron,
    night_succeeded,
)
from tests.support.fingerprint import Fingerprint, compare
from tests.support.samba import USB
from tests.support.vm import HOST, ROOT, Guest, Image, guest

REPORT = "/var/lib/snapmirror/last-run.json"
LITTLE = '[mirror.guard]\nmin_free = "50M"'  # in an image of 512 MiB
BESIDE = (".json", ".lock", ".sums")
# Killed while it applies an update, in the middle of the copy.
KILLED_WHILE_UPDATING = """
import os, signal
from snapmirror.storage import update
write_all = update.write_all
def killed(descriptor, data, start=None):
    write_all(descriptor, data if start is None else data[:4096], start)
    if start is not None:
        os.kill(os.getpid(), signal.SIGKILL)
update.write_all = killed
from snapmirror.cli import main
main(["copy-image"])
"""

pytestmark = pytest.mark.timeout(5400)  # a busy machine, without KVM


def test_nights_by_cron(image: Image, tmp_path: Path) -> None:
    """Three nights, one of which was missed; then the same history from inside and from outside."""
    with chain(tmp_path / "chain") as scene:
        days: list[Fingerprint] = []
        with guest(image, credentials=scene.seed(image_size="512M", more=after_night(scene))) as machine:
            machine.boot()
            machine.push_source()
            initialise_quickly(machine, "quick key")
            days.append(scene.tree.fingerprint())
            assert next_night_by_cron(machine), journal(machine)
            assert copied(machine, scene)["result"] == "made"
            scene.tree.published()
            days.append(scene.a_day_passes(1))
            assert next_night_by_cron(machine), journal(machine)
            second = copied(machine, scene)
            assert second["result"] == "updated"
            # beside the copy, in it, and what it replaces, which is kept; a hole holds nothing to keep
            assert 2 * second["changed_bytes"] < second["written_bytes"] <= 3 * second["changed_bytes"]
            assert second["changed_bytes"] < second["allocated_bytes"] / 2
            scene.tree.published()
            after_two_nights, last = clock(machine), last_night(machine)
            machine.power_off()

            days.append(scene.a_day_passes(2))  # and the Windows host is off at three o'clock
            machine.boot(clock=after_two_nights + timedelta(days=1, hours=4))
            assert night_succeeded(machine, after=last), journal(machine)
            scene.tree.published()

            a_copy_that_is_killed_is_finished_by_the_next(machine, scene)
            nothing_is_left(machine)
            machine.plug_in(scene.samba.usb / scene.image.name)  # (a guest of its own would be a boot more)
            assert next_boot_is_quiet(machine), "nothing was missed: no night after boot"
            marks = history(machine, len(days))
            nothing_is_left(machine)
            for number, (day, mark) in enumerate(zip(days, reversed(marks), strict=True)):
                assert compare(day, mark, ignore=("xattrs",)) == [], f"night {number}"
            looked_at_from_outside(machine, marks)
            machine.power_off()


def test_the_vhdx_boots_by_uefi_and_reads_its_seed(image: Image, tmp_path: Path) -> None:
    """The disk for Hyper-V under OVMF: everything it knows comes from the seed disk; it completes a night at 22:30.

    The key of the image is derived as in real life, in the memory that the appliance has.
    """
    with chain(tmp_path / "chain", entries=60) as scene:
        settings = b'hostname = "backup1"\r\ntimezone = "Asia/Tokyo"\r\nnight = "22:30"\r\n'
        with (
            seed_disk(tmp_path, scene.seed(image_size="512M", more=LITTLE) | {"appliance.toml": settings}) as disk,
            guest(image, seed=disk, uefi="vhdx") as machine,
        ):
            machine.boot()
            machine.push_source()
            assert machine.run(["hostname"]).text == "backup1"
            assert machine.run(["date", "+%Z"]).text == "JST"
            assert machine.run(["test", "-d", "/sys/firmware/efi"]).exit_code == 0
            modes = machine.run(["sh", "-c", "stat --format='%a %n' /etc/snapmirror/*"]).text.splitlines()
            assert {line.split()[0] for line in modes} == {"600"}, modes
            assert machine.run(["findmnt", "--source", "LABEL=SNAPSEED"], ok=[1]).exit_code == 1
            initialise_quickly(machine)
            assert next_night_by_cron(machine, 22, 30), journal(machine)
            (mark,) = history(machine, 1)
            assert compare(scene.tree.fingerprint(), mark) == []
            machine.power_off()


def after_night(scene: Chain) -> str:
    """The tables of the configuration that have each night end with a copy onto the second share."""
    copy = f'[copy]\ndestination = "//{HOST}/{USB}"\nport = {scene.samba.port}\nafter_night = true'
    return f'{LITTLE}\n{copy}\n[report]\njson_file = "{REPORT}"'


def copied(machine: Guest, scene: Chain) -> dict[str, Any]:
    """The copy after the last night, by its report; on the server it is the image, as sparse, and is all there is.

    The server's own numbers: a client takes a sparse file for full.
    """
    copy = scene.samba.usb / scene.image.name
    assert same(copy, scene.image)
    assert copy.stat().st_blocks < scene.image.stat().st_blocks * 1.05, "whole blocks of 64 KiB"
    names = {path.name for path in scene.samba.usb.iterdir() if ".former." not in path.name}
    assert names == {copy.name, *(copy.name + end for end in BESIDE)}
    report = json.loads(machine.run(["cat", REPORT]).stdout)["copy"]
    assert isinstance(report, dict)
    assert report["error"] is None, report
    assert report["warnings"] == []
    return report


def same(one: Path, other: Path) -> bool:
    return subprocess.run(["cmp", "--silent", one, other], check=False).returncode == 0


def a_copy_that_is_killed_is_finished_by_the_next(machine: Guest, scene: Chain) -> None:
    copy = scene.samba.usb / scene.image.name
    machine.run(["snapmirror", "pin", "newest"])
    assert not same(copy, scene.image)
    argv = ["env", "PYTHONPATH=/opt/snapmirror", "python3", "-c", KILLED_WHILE_UPDATING]
    assert machine.run(argv, ok=range(256)).exit_code == 137
    assert not copy.exists(), "a mixture does not have the name of a copy"
    assert copy.with_name(copy.name + ".update.list").exists()
    report = json.loads(machine.run(["snapmirror", "copy-image", "--json"]).stdout)
    assert report["resumed"]
    assert report["full"], "after that, nothing is believed"
    assert same(copy, scene.image)


@contextmanager
def seed_disk(folder: Path, files: dict[str, bytes]) -> Iterator[Path]:
    seed = folder / "seed"
    seed.mkdir()
    for name, content in files.items():
        (seed / name).write_bytes(content)
    disk = folder / "seed.raw"
    subprocess.run([ROOT / "vm/seed", seed, disk], check=True)
    yield disk


def next_boot_is_quiet(machine: Guest) -> bool:
    """Boot again, half an hour later by the machine's clock: was there no night?"""
    later = clock(machine) + timedelta(minutes=30)
    machine.power_off()
    machine.boot(clock=later)
    machine.run(["systemctl", "start", "snapmirror-catch-up.service"])  # waits for the one of the boot
    argv = ["journalctl", "--boot", "--quiet", "--unit=snapmirror-night.service"]
    return machine.run(argv).text == ""


def history(machine: Guest, nights: int) -> list[Fingerprint]:
    """The guest's own fingerprints of its snapshots, newest first."""
    machine.run(["snapmirror", "mount"])
    listed = json.loads(machine.run(["snapmirror", "list", "--json"]).stdout)
    assert [entry["slot"] for entry in listed] == list(range(1, nights + 1))
    marks = [marks_of(machine, f"{STORE}/web1/by-date/{entry['id']}/.") for entry in listed]
    machine.run(["snapmirror", "umount"])
    return marks


def nothing_is_left(machine: Guest) -> None:
    mounts = machine.run(["findmnt", "--noheadings", "--types", "cifs,xfs"], ok=[0, 1]).text
    loops = machine.run(["losetup", "--list", "--noheadings"]).text
    mappings = machine.run(["dmsetup", "ls"]).text
    assert (mounts, loops, mappings) == ("", "", "No devices found")


def looked_at_from_outside(machine: Guest, marks: list[Fingerprint]) -> None:
    """The copy of the image on the USB disk, a disk of this guest now, opened when there is no snapmirror any more."""
    machine.run(["rm", "--recursive", "/opt/snapmirror/snapmirror", "/usr/local/bin/snapmirror"])
    assert machine.run(["head", "--bytes=6", "/dev/vdb"]).stdout == b"LUKS\xba\xbe"
    argv = ["cryptsetup", "open", "--readonly", "--key-file=-", "/dev/vdb", "by-hand"]
    machine.run(argv, stdin=IMAGE_KEY)
    machine.run(["mount", "--read-only", "--options=norecovery", "/dev/mapper/by-hand", "/mnt"])
    for number, mark in enumerate(marks, 1):
        assert compare(mark, marks_of(machine, f"/mnt/web1/backup.{number}")) == []
    machine.run(["umount", "/mnt"])
    machine.run(["cryptsetup", "close", "by-hand"])
