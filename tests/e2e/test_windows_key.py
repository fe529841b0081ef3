"""What the PowerShell module does with the appliance, done by Debian's OpenSSH with the module's own options and words.

The VM knows who it is from its seed, so the first connection is to a known host; the key of the Windows host runs
snapmirror's commands through gate.py, gets their exit codes and JSON, and reads files by sftp, keys excepted.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.powershell import parsed, text, walk
from tests.support.vm import ROOT, Guest, Image, booted

pytestmark = pytest.mark.timeout(3600)  # a busy machine, without KVM

MODULE = ROOT / "scripts/SnapMirror"
CONFIG = b"""
[store]
path = "/srv/plain"
[[mirror]]
name = "web1"
source = "/srv/source/"
"""
NAMES = ("plain", "two words", "\u00c4rger", 'say "x"', "star*", "back\\slash")


def pair(path: Path) -> tuple[bytes, str]:
    """A new key: the private one, and the line of the public one."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path.read_bytes(), path.with_suffix(".pub").read_text().strip()


class Windows:
    """The Windows host: its key, what it knows of the VM, and how the module calls ssh and sftp."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.known_hosts = folder / "id_ed25519", folder / "known_hosts"
        _, self.public = pair(self.key)
        self.host_key, self._host_public = pair(folder / "ssh_host_ed25519_key")
        self.port = 0

    def meets(self, machine: Guest) -> None:
        """The VM is there; nothing is asked of it that Install-SnapMirror does not know already."""
        self.port = machine.ssh_port
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {self._host_public}\n")
        [gate] = re.findall(r"'(restrict,command=.*)'", (MODULE / "Private/New-SnapMirrorSeed.ps1").read_text())
        machine.run(["sh", "-c", "cat >>/root/.ssh/authorized_keys"], stdin=f"{gate} {self.public}\n".encode())

    def options(self) -> list[str]:
        """As Get-SnapMirrorSshOption gives them."""
        literals = walk(parsed(MODULE / "Private/Get-SnapMirrorSshOption.ps1"), "string_literal")
        set_up = [text(one)[1:-1].replace("$known", str(self.known_hosts)) for one in literals]
        words = [word for option in set_up if "=" in option for word in ("-o", option)]
        assert "StrictHostKeyChecking=yes" in words
        return ["-F", "none", "-i", str(self.key), *words]

    def ask(self, *words: str, raw: str = "") -> subprocess.CompletedProcess[bytes]:
        request = raw or f"snapmirror {base64.b64encode(json.dumps(words).encode()).decode()}"
        argv = ["ssh", *self.options(), "-p", str(self.port), "-T", "root@127.0.0.1", request]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def fetch(self, *paths: str, to: Path) -> subprocess.CompletedProcess[bytes]:
        """By the lines that Receive-SnapMirrorFile writes."""
        source = (MODULE / "Private/Receive-SnapMirrorFile.ps1").read_text()
        [line] = re.findall(r"'(get .*)' -f \(\$one -replace '\(\[\"\\\\\]\)', '\\\$1'\), \$target", source)
        escaped = [re.sub(r'(["\\])', r"\\\1", path) for path in paths]
        batch = self.folder / "batch"
        batch.write_text("".join(f"{line.replace('{0}', path).replace('{1}', str(to))}\n" for path in escaped))
        to.mkdir()
        argv = ["sftp", *self.options(), "-P", str(self.port), "-q", "-b", str(batch), "root@127.0.0.1"]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Windows:
    return Windows(tmp_path_factory.mktemp("windows"))


@pytest.fixture(scope="module")
def machine(image: Image, windows: Windows) -> Iterator[Guest]:
    seed = {
        "snapmirror.toml": CONFIG, "appliance.toml": b'night = "off"\n', "image.key": b"secret",
        "ssh_host_ed25519_key": windows.host_key,
    }  # fmt: skip
    with booted(image, credentials=seed) as started:
        for name in NAMES:
            started.put(f"/srv/source/{name}", name.encode(), 0o644)
        started.run(["mkdir", "/srv/plain"])
        windows.meets(started)
        yield started
        started.power_off()


def test_a_night_by_the_key_of_windows(machine: Guest, windows: Windows, tmp_path: Path) -> None:
    before = windows.ask("status", "--json")
    assert before.returncode == 3, before.stderr
    done = windows.ask("run", "--json", "web1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mirrors"][0]["result"] == "published"
    status = windows.ask("status", "--json")
    assert (status.returncode, json.loads(status.stdout)["findings"]) == (0, [])
    [snapshot] = json.loads(windows.ask("list", "--json").stdout)

    plan = windows.ask("find", "--json", "/\u00c4rger")
    assert plan.stdout.isascii() and "\u00c4rger" in json.dumps(json.loads(plan.stdout), ensure_ascii=False)

    fetched = windows.fetch(*(f"{snapshot['path']}/{name}" for name in NAMES), to=tmp_path / "restored")
    assert fetched.returncode == 0, fetched.stderr
    assert {path.name: path.read_text() for path in (tmp_path / "restored").iterdir()} == {n: n for n in NAMES}


def test_a_run_that_fails_and_one_that_is_refused_keep_their_codes(machine: Guest, windows: Windows) -> None:
    machine.run(["mv", "/srv/source", "/srv/elsewhere"])
    failed = windows.ask("run", "--json")
    machine.run(["mv", "/srv/elsewhere", "/srv/source"])
    assert failed.returncode == 12, failed.stderr
    assert json.loads(failed.stdout)["exit_code"] == 12
    assert windows.ask("run", "--nonsense").returncode == 2


def test_the_key_does_nothing_else(machine: Guest, windows: Windows, tmp_path: Path) -> None:
    for raw in ("sh -c id", "cat /etc/shadow", "snapmirror list"):
        refused = windows.ask(raw=raw)
        assert (refused.returncode, refused.stdout) == (2, b""), raw
    for number, secret in enumerate(("/etc/snapmirror/image.key", "/root/.ssh/authorized_keys", "/etc/shadow")):
        windows.fetch(secret, to=tmp_path / str(number))  # root is shown an empty folder or file in its place
        assert not any(path.read_bytes() for path in (tmp_path / str(number)).iterdir()), secret


def test_cron_leaves_the_night_to_windows(machine: Guest) -> None:
    assert "root" not in machine.get("/etc/cron.d/snapmirror").decode()
