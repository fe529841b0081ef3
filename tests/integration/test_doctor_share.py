"""The doctor on a share: a real Samba on loopback, asked before anyone logs in. The mount itself needs the VM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.samba import Samba, samba_running
from tests.support.sshd import free_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    folder = tmp_path_factory.mktemp("samba")
    with samba_running(folder / "state", folder / "storage") as running:
        yield running


def said(folder: Path, port: int, *, mode: int = 0o600) -> dict[str, dict[str, str]]:
    """The doctor's lines by topic, the worst of each."""
    credentials, config = folder / "smb.cred", folder / "snapmirror.toml"
    credentials.write_text("username=root\npassword=x\n")
    credentials.chmod(mode)
    config.write_text(
        f'[store]\npath = "{folder}/store"\nstate_dir = "{folder}/state"\n'
        f'[share]\nunc = "//127.0.0.1/backup"\nport = {port}\ncredentials = "{credentials}"\n'
        f'mount_point = "{folder}/share"\n'
        '[image]\nfile = "x.img"\nsize = "1G"\nencryption = "none"\n[[mirror]]\nname = "m"\nsource = "/etc"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "snapmirror", "--config", config, "doctor", "--json"],
        capture_output=True, check=False, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert b"Traceback" not in done.stderr, done.stderr
    order = ("ok", "warn", "fail")
    checks = sorted(json.loads(done.stdout)["checks"], key=lambda check: order.index(check["level"]))
    assert json.loads(done.stdout)["exit_code"] == done.returncode
    return {check["topic"]: check for check in checks}


def test_a_server_as_it_should_be(tmp_path: Path, server: Samba) -> None:
    lines = said(tmp_path, server.port)
    assert lines["server"]["message"] == "127.0.0.1 speaks SMB 3.1.1 and encrypts"
    assert lines["server clock"]["level"] == lines["credentials"]["level"] == "ok"
    if lines["cifs"]["level"] == "fail":  # this kernel
        assert "no cifs" in lines["cifs"]["message"]
        assert "image" not in lines, "what lies on a share that cannot be mounted is not guessed"


def test_what_is_wrong_is_said(tmp_path: Path, server: Samba) -> None:
    lines = said(tmp_path, free_port(), mode=0o644)
    assert "does not answer" in lines["server"]["message"]
    assert lines["credentials"]["mend"].startswith("chmod 600")
    server.stop()
    settings = server.settings.read_text()
    try:
        server.settings.write_text(settings.replace("encrypt = required", "encrypt = off"))
        server.start()
        assert "does not encrypt" in said(tmp_path, server.port)["server"]["message"]
        server.stop()
        old = settings.replace("min protocol = SMB3_11", "min protocol = SMB2_02\nserver max protocol = SMB3_02")
        server.settings.write_text(old)
        server.start()
        assert "speaks SMB 3.0.2 at most" in said(tmp_path, server.port)["server"]["message"]
    finally:
        server.settings.write_text(settings)
