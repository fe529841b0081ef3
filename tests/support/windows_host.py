"""A host as Install-SnapMirror leaves it, and its VM: settings, keys, a real sshd with the VM's gate, a real store.

The module reaches the VM at port 22 of its address: sshd listens there, on an address of this machine's own loopback
(so this needs root). What the gate hands to systemd is run as it is; the store, not systemd, is what is looked at.
Its drives C:, E: and F: are folders here, and so is the share by which the VM copies the image to E:.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.pwsh import pwsh
from tests.support.runner import REPOSITORY, SCENE_VARIABLE, Scene
from tests.support.sshd import sshd_running

MANIFEST = REPOSITORY / "scripts/SnapMirror/SnapMirror.psd1"
PROGRAMS = REPOSITORY / "vm/rootfs/usr/local/lib/snapmirror-vm"
HOST = "10.253.71.1"
COPY_SHARE = f"//{HOST}/snapmirror-copy"
_GATE = """
import os, sys
sys.path.insert(0, {programs!r})
import gate, runs
from pathlib import Path
here = Path({folder!r})
gate.SNAPMIRROR, gate.CONFIG, gate.SETTINGS = str(here / "snapmirror"), here / "gate.toml", here / "appliance.toml"
gate.AS_A_UNIT = [str(here / "unit")]
gate.properties_of = lambda config: []
runs.FILE = here / "gate-runs"
gate.main(sys.argv[1:], os.environ)
"""
_UNIT = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


@dataclass
class Ran:
    """What a script of PowerShell has done. `values` is what it gave, as JSON has it."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def values(self) -> Any:
        return json.loads(self.stdout)


@dataclass
class WindowsHost:
    """The host's folder, where its module finds settings and keys, and the scene in the VM."""

    folder: Path
    scene: Scene
    address: str

    def drive(self, letter: str) -> Path:
        return self.folder / letter

    def run(self, script: str, *, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> Ran:
        """A script with the module loaded."""
        told = {"ProgramData": str(self.folder / "Program Data"), "HOME": str(self.folder), **(environment or {})}
        text = f"$ErrorView = 'ConciseView'; Import-Module '{MANIFEST}'\n{script}"
        done = pwsh(text, environment=told, stdin=stdin, cwd=self.folder)
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def json(self, script: str, *, stdin: bytes = b"") -> Any:
        """What a script's last value is, as JSON; the script is a block that gives a table."""
        ran = self.run(f"$seen = & {{ {script} }}; ConvertTo-Json -InputObject $seen -Depth 5 -Compress", stdin=stdin)
        assert ran.stdout, ran.stderr
        return json.loads(ran.stdout.splitlines()[-1])


@contextmanager
def windows_host(folder: Path, scene: Scene) -> Iterator[WindowsHost]:
    """The VM answers while this lasts."""
    address = f"127.{77 + os.getpid() % 100}.{os.getpid() // 100 % 250}.2"
    data = folder / "Program Data" / "SnapMirror"  # (with a blank: users may have moved it)
    data.mkdir(parents=True)
    vm = folder / "vm"
    vm.mkdir()
    with sshd_running(folder / "sshd", address=address, port=22) as sshd:
        for letter in "CEF":
            (folder / letter).mkdir()
        snapmirror = (
            f"#!/bin/sh\nexport PYTHONPATH={REPOSITORY} TMPDIR={scene.scratch} {SCENE_VARIABLE}={scene.folder}\n"
            f'for word do\n    shift\n    [ "$word" = {COPY_SHARE} ] && word={folder}/E/Backup\n'
            '    set -- "$@" "$word"\ndone\n'
            f'exec {sys.executable} -m snapmirror --config {scene.config} "$@"\n'
        )
        gate = _GATE.format(programs=str(PROGRAMS), folder=str(vm))
        config = f'{scene.config.read_text()}\n[share]\nunc = "//{HOST}/snapmirror"\n'  # the gate alone reads this one
        for name, text in {"snapmirror": snapmirror, "unit": _UNIT, "gate.py": gate, "gate.toml": config}.items():
            (vm / name).write_text(text)
            (vm / name).chmod(0o755)
        sshd.restrict(f"/usr/bin/python3 -I {vm}/gate.py").rename(data / "id_ed25519")
        sshd.restrict(f"/usr/bin/python3 -I {vm}/gate.py --admin").rename(folder / "F/id_admin")
        (data / "known_hosts").write_text(f"{address} {sshd.host_key.with_suffix('.pub').read_text()}")
        settings = {
            "VMName": "snapmirror", "User": "root", "Address": address, "HostAddress": HOST,
            "SharePath": str(folder), "ShareName": "snapmirror", "Account": "snapmirror", "TaskName": "SnapMirror",
            "WireName": "SnapMirror", "MacAddress": "00155D0AFD47",
        }  # fmt: skip
        (data / "settings.json").write_text(json.dumps(settings))
        yield WindowsHost(folder, scene, address)


def snapshots(scene: Scene) -> list[str]:
    """The ids in the store, newest first."""
    return [one["id"] for one in scene.command("list", "--json").json]
