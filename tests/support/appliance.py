"""The whole chain around a guest: Samba as the Windows server, a private sshd with a tree as the remote server.

`chain(folder)` starts both; `Chain.seed()` gives the files that configure an appliance for them. The guest sees this
machine's loopback as 10.0.2.2. `marks_of` is the guest's own fingerprint of a folder, by the tests' own tool.
"""

from __future__ import annotations

import pickle
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from tests.support.fingerprint import Fingerprint
from tests.support.nights import live_a_day, random_changes
from tests.support.samba import Samba, samba_running
from tests.support.sshd import RRSYNC, Sshd, sshd_running
from tests.support.trees import KINDS, Tree
from tests.support.vm import HOST, Guest

STORE = "/srv/snapmirror"
IMAGE_KEY = b"not a word of a dictionary, and 48 random bytes in real life\n"
NIGHT_SECONDS = 1500.0  # a busy machine
_FINGERPRINT = (
    "import pickle, sys; from tests.support.fingerprint import fingerprint; "
    "sys.stdout.buffer.write(pickle.dumps(fingerprint(sys.argv[1].encode())))"
)


_INITIALISE = """
import sys
from pathlib import Path
from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from snapmirror.tools import luks
from tests.support.storage import TINY
if sys.argv[1] == "quick key":
    luks._FORMAT[2][2:] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", *luks._FORMAT[2][-2:]]
initialise(load(Path("/etc/snapmirror/snapmirror.toml")), workload=TINY)
"""


# In the guest: to ask it by ssh every two seconds took half a second of processor time each time.
_WAIT = """
unit=snapmirror-night.service
while [ "$(stat --format=%y /var/lib/snapmirror-vm/last-night)" = "$1" ]; do
    if systemctl is-failed --quiet $unit; then exit 1; fi
    sleep 2
done
while [ "$(systemctl is-active $unit)" != inactive ]; do sleep 0.5; done
test -e /var/lib/snapmirror-vm/last-night
"""


@dataclass
class Chain:
    """What a guest needs around it."""

    samba: Samba
    sshd: Sshd
    tree: Tree
    identity: Path

    @property
    def image(self) -> Path:
        """The image as Windows sees it."""
        return self.samba.storage / "snapmirror.img"

    def seed(self, *, image_size: str = "2G", lost_after_seconds: int = 300, more: str = "") -> dict[str, bytes]:
        """The files of a seed."""
        config = f"""
            [store]
            path = "{STORE}"
            [share]
            unc = "{self.samba.unc(HOST)}"
            port = {self.samba.port}
            credentials = "/etc/snapmirror/smb.cred"
            lost_after_seconds = {lost_after_seconds}
            [image]
            file = "{self.image.name}"
            size = "{image_size}"
            encryption = "luks2"
            key_file = "/etc/snapmirror/image.key"
            header_backup = "/etc/snapmirror/image.luks-header"
            [[mirror]]
            name = "web1"
            source = "{self.sshd.login.partition("@")[0]}@{HOST}:/"
            port = {self.sshd.port}
            identity = "/etc/snapmirror/id_ed25519"
            known_hosts = "/etc/snapmirror/known_hosts"
            [mirror.retention]
            keep_last = 8
            {more}
            """
        return {
            "snapmirror.toml": "\n".join(line.strip() for line in config.splitlines()).strip().encode(),
            "smb.cred": self.samba.credentials(),
            "image.key": IMAGE_KEY,
            "id_ed25519": self.identity.read_bytes(),
            "known_hosts": self.sshd.known_hosts.read_bytes().replace(b"[127.0.0.1]", f"[{HOST}]".encode()),
        }

    def a_day_passes(self, seed: int, changes: int = 12) -> Fingerprint:
        """The server lives on; what it then looks like."""
        live_a_day(self.tree, random_changes(random.Random(seed), changes))
        return self.tree.fingerprint()


@contextmanager
def chain(folder: Path, storage: Path | None = None, entries: int = 150) -> Iterator[Chain]:
    """Both servers, running. `storage` is the folder that Windows serves, if it is to be a special one."""
    folder.mkdir(exist_ok=True)
    tree = Tree(folder / "tree")
    rng = random.Random(1)
    tree.grow([(rng.choice(KINDS), rng.getrandbits(32)) for _ in range(entries)])
    tree.settle()
    with samba_running(folder / "smb", storage or folder / "windows") as samba, sshd_running(folder / "sshd") as sshd:
        identity = sshd.restrict(f"{RRSYNC} -ro {folder / 'tree'}")
        yield Chain(samba, sshd, tree, identity)


def initialise_quickly(guest: Guest, key: Literal["quick key", "usual key"] = "usual key") -> None:
    """`snapmirror init` with a small self-test: the full one takes minutes under software emulation.

    A "usual key" is derived as the product does it (argon2id, 256 MiB): each opening then takes 15 to 25 seconds of
    processor time here. The scene of the VHDX shows that the memory is enough.
    """
    guest.run(["env", "PYTHONPATH=/opt/snapmirror", "python3", "-c", _INITIALISE, key])


def clock(guest: Guest) -> datetime:
    """What the guest takes for now, in its own zone."""
    return datetime.fromisoformat(guest.run(["date", "+%Y-%m-%dT%H:%M:%S%:z"]).text)


def next_night_by_cron(guest: Guest, hour: int = 3, minute: int = 0) -> bool:
    """Set the guest's clock to shortly before the next night, and wait for cron's own job: did it succeed?"""
    now = clock(guest)
    before = now.replace(hour=hour, minute=minute, second=0, microsecond=0) - timedelta(seconds=8)
    if before <= now:
        before += timedelta(days=1)
    last = last_night(guest)
    guest.run(["systemctl", "reset-failed"])
    guest.set_clock(before)
    return night_succeeded(guest, after=last)


def last_night(guest: Guest) -> str:
    """When the last good night ended, as the appliance notes it."""
    return guest.run(["stat", "--format=%y", "/var/lib/snapmirror-vm/last-night"]).text


def night_succeeded(guest: Guest, after: str) -> bool:
    """Wait until a night has ended after the last good one ended at `after`. A good one leaves its time, systemd keeps
    the state of a failed one; of a good one it forgets all."""
    try:
        return guest.run(["sh", "-c", _WAIT, "sh", after], ok=(0, 1), timeout=NIGHT_SECONDS).exit_code == 0
    except subprocess.TimeoutExpired:
        raise AssertionError(f"no night has ended:\n{journal(guest)}") from None


def journal(guest: Guest) -> str:
    return guest.run(["journalctl", "--no-pager", "--unit=snapmirror-night.service", "--lines=60"]).text


def marks_of(guest: Guest, folder: str) -> Fingerprint:
    """The fingerprint of a folder in the guest."""
    argv = ["env", "PYTHONPATH=/opt/snapmirror", "python3", "-c", _FINGERPRINT, folder]
    marks = pickle.loads(guest.run(argv).stdout)
    assert isinstance(marks, dict)
    return marks
