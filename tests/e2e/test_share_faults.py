"""What may go wrong around a store on a share, in the appliance: kernel cifs, loop, LUKS2 by dm-crypt, XFS.

The SMB server away for 25 seconds and for longer than the watch allows, the plug pulled in mid-transfer and in
mid-rotation, the Windows volume full under the sparse image, a wrong key, ssh dropped. One guest lives through all this
(booting and opening are what is slow); after each fault the next night must succeed by itself, and in the end every
snapshot that was ever sealed is compared with what the server was that night.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.appliance import IMAGE_KEY, STORE, Chain, chain, initialise_quickly, marks_of
from tests.support.fingerprint import Fingerprint, compare
from tests.support.full import small_volume
from tests.support.vm import Guest, Image, guest

pytestmark = pytest.mark.timeout(5400)  # a busy machine, without KVM

BIG_BYTES, BYTES_PER_SECOND = 12 << 20, "1536K"  # 8 seconds of transfer, however fast the guest is
LOST_AFTER_SECONDS = 60  # a guest that is starved of processor time has stood still for 20
NO_RESERVE = f"""
[mirror.guard]
min_free = "0"
[defaults]
bandwidth_limit = "{BYTES_PER_SECOND}"
"""
# The night stops for good after the first folder has been renamed, and that rename is on the disk.
STOPPING_IN_MID_ROTATION = """
import os, time
rename = os.rename
def held(source, target, **folders):
    rename(source, target, **folders)
    if os.path.basename(os.fsdecode(target)).startswith("backup."):
        os.sync()
        print("in mid-rotation", flush=True)
        time.sleep(3600)
os.rename = held
from snapmirror.cli import main
main(["run"])
"""

ANOTHER_MACHINE = """
from pathlib import Path
from snapmirror import machine
from snapmirror.config import load
from snapmirror.errors import StorageError
from snapmirror.storage import image_lock, share
from snapmirror.tools import cifs, mount
config = load(Path("/etc/snapmirror/snapmirror.toml"))
target = Path("/mnt/other")
target.mkdir()
cifs.mount(share.place(config.share), target, config.share.credentials)
machine._MACHINE = (Path("/proc/version"),)
try:
    with image_lock.on_server(target / config.image.file.name):
        print("it is free")
except StorageError as error:
    print(error.message)
mount.umount(target)
target.rmdir()
"""


class Life:
    """The guest, its server, and what was sealed so far."""

    def __init__(self, machine: Guest, scene: Chain) -> None:
        self.machine, self.scene = machine, scene
        self.sealed: dict[str, Fingerprint] = {}
        self.in_mid_rotation: Fingerprint = {}
        self._days = 0

    def a_day(self) -> None:
        """The server changes, a big file among it."""
        self._days += 1
        self.scene.a_day_passes(self._days)
        Path(os.fsdecode(self.scene.tree.full(b"big"))).write_bytes(random.Random(self._days).randbytes(BIG_BYTES))

    def night(self) -> None:
        """A night that nothing happens to."""
        done = self.machine.run(["snapmirror", "run", "--json"], ok=range(256))
        assert done.exit_code in (0, 3), done.words
        self.seal(done.stdout)
        assert self.standing() == "", "all is released"

    def seal(self, report: bytes) -> None:
        """Remember what the server is now as what was sealed."""
        (mirror,) = json.loads(report)["mirrors"]
        assert mirror["result"] == "published"
        self.sealed[mirror["snapshot"]] = self.scene.tree.fingerprint()
        self.scene.tree.published()

    def snapshots(self) -> list[str]:
        done = self.machine.run(["snapmirror", "list", "--json"])
        return [entry["id"] for entry in json.loads(done.stdout)]

    @contextmanager
    def fetching(self) -> Iterator[Outcome]:
        """A night that is in the middle of its transfer."""
        with self.machine.started(["snapmirror", "run", "--json"]) as process:
            outcome = Outcome(process)
            outcome.read_until(b"prepare the slot done")
            time.sleep(2)
            yield outcome

    def standing(self) -> str:
        """What is mounted, attached or unlocked."""
        script = "findmnt --noheadings --types cifs,xfs --output TARGET; losetup --noheadings --output NAME; dmsetup ls"
        return self.machine.run(["sh", "-c", script]).text.replace("No devices found", "").strip()


class Outcome:
    """What a night says, and how it ends."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.said = self.report = b""

    def read_until(self, mark: bytes) -> None:
        assert self._process.stderr is not None
        while mark not in self.said:
            line = self._process.stderr.readline()
            assert line, self.said.decode()
            self.said += line

    def end(self) -> int:
        """The exit code, when there is one."""
        assert self._process.stderr is not None
        assert self._process.stdout is not None
        self.said += self._process.stderr.read()
        self.report = self._process.stdout.read()
        return self._process.wait()


def test_faults_of_a_share(image: Image, tmp_path: Path) -> None:
    with (
        small_volume(tmp_path / "windows", 1400) as volume,
        chain(tmp_path / "chain", storage=volume, entries=40) as scene,
        guest(
            image, credentials=scene.seed(image_size="1G", lost_after_seconds=LOST_AFTER_SECONDS, more=NO_RESERVE)
        ) as machine,
    ):
        machine.boot()
        machine.push_source()
        units = ["cron.service", "snapmirror-catch-up.service", "snapmirror-catch-up.timer"]
        machine.run(["systemctl", "disable", "--now", *units])  # nights are ours
        initialise_quickly(machine, "quick key")
        machine.run(["sync"])  # what the plug is pulled on is the store, not the preparation
        life = Life(machine, scene)
        life.a_day()
        life.night()
        for fault in (
            the_windows_volume_is_full,
            the_server_stays_away,
            the_plug_is_pulled_in_mid_transfer,
            the_plug_is_pulled_in_mid_rotation,
        ):
            life.a_day()
            fault(life)
            life.night()
        the_key_is_wrong(life)
        life.a_day()
        ssh_drops(life)
        the_server_is_away_for_25_seconds(life)  # in the very night that makes up for that
        (in_mid_rotation,) = set(life.snapshots()) - set(life.sealed)  # it stood in the record: finished, not undone
        life.sealed[in_mid_rotation] = life.in_mid_rotation
        machine.run(["snapmirror", "mount"])
        for name, day in life.sealed.items():
            assert compare(day, marks_of(machine, f"{STORE}/web1/by-date/{name}/."), ignore=("xattrs",)) == [], name
        machine.run(["snapmirror", "umount"])
        assert life.standing() == ""
        the_doctor_finds_all_in_order(life)


def the_doctor_finds_all_in_order(life: Life) -> None:
    checks = json.loads(life.machine.run(["snapmirror", "doctor", "--json"], ok=range(256)).stdout)["checks"]
    levels = {check["topic"]: check["level"] for check in checks}
    for topic in ("encryption", "cifs", "credentials", "server", "server clock", "share", "sparse", "key", "image"):
        assert levels[topic] == "ok", [check for check in checks if check["topic"] == topic]
    (taken,) = (check["message"] for check in checks if check["topic"] == "image")
    told = re.search(r"of which ([0-9.]+) MiB are taken", taken)
    assert told, taken
    on_the_server = life.scene.image.stat().st_blocks * 512 / 2**20
    assert abs(float(told[1]) - on_the_server) < on_the_server / 20, "the client itself takes a sparse file for full"


def the_key_is_wrong(life: Life) -> None:
    life.machine.put("/etc/snapmirror/image.key", b"another key\n")
    done = life.machine.run(["snapmirror", "run"], ok=[11])
    assert b"the key does not open" in done.stderr
    assert life.standing() == ""
    life.machine.put("/etc/snapmirror/image.key", IMAGE_KEY)


def the_server_is_away_for_25_seconds(life: Life) -> None:
    """All waits, and goes on."""
    with life.fetching() as night:
        life.scene.samba.kill()
        time.sleep(25)
        life.scene.samba.start()
        assert night.end() == 0, night.said.decode()
    life.seal(night.report)


def ssh_drops(life: Life) -> None:
    """And meanwhile another machine, with a connection of its own, asks for the image."""
    with life.fetching() as night:
        sessions = psutil.Process(int((life.scene.sshd.folder / "pid").read_text())).children(recursive=True)
        for session in sessions:
            session.suspend()  # else the transfer may end before the question, which takes seconds in the guest
        asked = life.machine.run(["env", "PYTHONPATH=/opt/snapmirror", "python3", "-c", ANOTHER_MACHINE])
        assert "snapmirror.img is in use by snapmirror on " in asked.text
        for session in sessions:
            session.kill()
        assert night.end() == 12, night.said.decode()
    assert life.standing() == ""


def the_windows_volume_is_full(life: Life) -> None:
    filler = life.scene.samba.storage / "filler"
    with life.fetching() as night:
        with filler.open("wb") as file, pytest.raises(OSError, match="No space"):
            while True:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), 1 << 20)
        assert night.end() == 11, night.said.decode()
    assert life.standing() == ""
    filler.unlink()


def the_plug_is_pulled_in_mid_transfer(life: Life) -> None:
    with life.fetching():
        life.machine.kill()
    life.machine.boot()


def the_plug_is_pulled_in_mid_rotation(life: Life) -> None:
    argv = ["env", "PYTHONPATH=/opt/snapmirror", "python3", "-c", STOPPING_IN_MID_ROTATION]
    life.in_mid_rotation = life.scene.tree.fingerprint()
    with life.machine.started(argv) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in mid-rotation\n"
        life.machine.kill()
    life.machine.boot()
    life.scene.tree.published()
    life.a_day()


def the_server_stays_away(life: Life) -> None:
    """Longer than the watch allows: the night ends, as a storage error or stuck, and the next one has to tidy up."""
    with life.fetching() as night:
        life.scene.samba.kill()
        assert night.end() in (11, 20), night.said.decode()
    assert b"has not answered for" in night.said
    assert set(life.standing().split()) != set(), "what waits for the server cannot be released"
    life.scene.samba.start()
