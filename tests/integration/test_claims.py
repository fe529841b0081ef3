"""Two machines, one image: exactly one of them gets it, and a crash leaves no lock behind for good.

A machine is a process in namespaces of its own, with its own host name, machine id and boot id. The folder that they
share stands for the share: the kernel keeps the same locks there as a server does (tests/e2e/test_share_faults.py has
the server). What a lost connection leaves locked until the server notices is played by a process that goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Figures
from tests.support.runner import LONG, REPOSITORY

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")
MACHINES, ROUNDS = 10, 20 if LONG else 2
# Says "ready", waits for a line, claims, says what came of it, and holds on until its stdin is closed.
CLAIM = """
import logging, sys
from pathlib import Path
from snapmirror.errors import StorageError
from snapmirror.storage import image_lock
logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
logging.getLogger().handlers[0].flush = sys.stdout.flush
image, how = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
try:
    with image_lock.on_server(image) if how == "server" else image_lock.here(image, Path(f"{image}.json")):
        print("claimed", flush=True)
        sys.stdin.read()
except StorageError as error:
    print(f"refused: {error.message}; {error.hint}", flush=True)
    sys.stdin.read()
"""


class Machine:
    """A process that asks for the image. It is another machine, or another life (`boot`) of one, by what it is told."""

    def __init__(self, folder: Path, name: str, boot: str = "1", how: str = "server") -> None:
        identity = folder / f"{name}.id"
        identity.write_text(f"{name}\n")
        booted = folder / f"{name}.{boot}.boot"
        booted.write_text(f"{boot}\n")
        places = {identity: "/etc/machine-id", booted: "/proc/sys/kernel/random/boot_id"}
        binds = " && ".join(f"mount --bind {source} {target}" for source, target in places.items())
        script = f'{binds} && hostname {name} && exec "$@"'
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--uts", "--", "sh", "-c", script, "sh",
             sys.executable, "-c", CLAIM, folder / "store.img", how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )  # fmt: skip
        assert self.says() == "ready"

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def claim(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def asked(self) -> str:
        """Claim, and say how that ended."""
        self.claim()
        return self.says()

    def leave(self) -> None:
        """End as it should."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0

    def kill(self) -> None:
        """End as after kill -9, or when the server has noticed that its machine is gone."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "store.img").touch()
    (tmp_path / "store.img.json").touch(0o600)
    yield tmp_path


def test_a_second_machine_is_refused_until_the_first_leaves(folder: Path) -> None:
    one = Machine(folder, "one")
    assert one.asked() == "claimed"
    two = Machine(folder, "two")
    said = two.asked()
    assert "store.img is in use by snapmirror on one; wait for it, or stop it; it has had the image since 20" in said
    two.leave()
    again = Machine(folder, "one")  # the same machine, as another configuration would ask
    assert "is in use by snapmirror on one" in again.asked()
    again.leave()
    one.leave()
    two = Machine(folder, "two")
    assert two.asked() == "claimed", "without a wait: the first one has left as it should"
    two.leave()


def test_a_killed_owner_leaves_no_lock(folder: Path) -> None:
    one = Machine(folder, "one")
    assert one.asked() == "claimed"
    one.kill()
    two = Machine(folder, "two")
    assert "one did not close" in two.asked()
    assert two.says() == "claimed"
    two.kill()
    again = Machine(folder, "two")
    assert again.asked() == "claimed", "its own last run: there is nobody to wait for"
    again.leave()


def test_a_machine_without_power_comes_back_and_keeps_others_out(folder: Path) -> None:
    """The server still holds the lock of its last life; when it lets that go, it is this life's."""
    dead = Machine(folder, "one", boot="1")
    assert dead.asked() == "claimed"
    back = Machine(folder, "one", boot="2")
    assert "is still locked by a connection from before this machine restarted; going on" in back.asked()
    assert back.says() == "claimed"
    two = Machine(folder, "two")
    assert "is in use by snapmirror on one" in two.asked()
    two.leave()
    two = Machine(folder, "two")
    dead.kill()  # now the server has noticed
    said = two.asked()  # it may be quicker than the machine that is back, which asks every other second
    if "one did not close" in said:
        said = two.says()
    assert "is in use by snapmirror on one" in said
    assert "is locked by us now" in back.says()
    back.leave()
    two.leave()
    two = Machine(folder, "two")
    assert two.asked() == "claimed"
    two.leave()


@pytest.mark.parametrize("how", ["server", "here"])
def test_of_many_one_gets_in(folder: Path, how: str, figures: Figures) -> None:
    for number in range(ROUNDS):
        asking = [Machine(folder, f"machine{one}", boot=str(number), how=how) for one in range(MACHINES)]
        for machine in asking:
            machine.claim()
        said = Counter(machine.says().partition(":")[0] for machine in asking)
        assert said == {"claimed": 1, "refused": MACHINES - 1}, f"round {number}"
        for machine in asking:
            machine.leave()
    figures.add(f"openers of one image at once ({how}): {ROUNDS} × {MACHINES}, one let in each time")
