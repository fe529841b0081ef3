"""What the Windows host's key may do in the appliance, and what it may not."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import pytest

from snapmirror.cli.app import app
from tests.unit.test_appliance import PROGRAMS, program

gate = program("gate")


def request(*words: object) -> str:
    return f"snapmirror {base64.b64encode(json.dumps(words).encode()).decode()}"


def test_a_command_arrives_word_by_word() -> None:
    words = ["find", "--json", "", "a b", 'it\'s "x"', "$(reboot)", "Ärger/\\n *", "--"]
    assert gate.argv_of(request(*words)) == ["/usr/local/bin/snapmirror", *words]


def test_a_run_outlives_its_connection() -> None:
    argv = gate.argv_of(request("run", "--json", "web 1"))
    assert argv[0] == "/usr/bin/systemd-run"
    assert argv[argv.index("--") :] == ["--", "/usr/local/bin/snapmirror", "run", "--json", "web 1"]
    assert {"--wait", "--pipe", "--property=KillMode=process"} <= set(argv), "its output and exit code are handed on"
    assert any("night_ended.py" in word for word in argv), "logins are told of it, as of cron's"
    assert not any("night_ended.py" in word for word in gate.argv_of(request("run", "--dry-run")))


def test_a_copy_outlives_its_connection_as_well() -> None:
    argv = gate.argv_of(request("copy-image", "//10.253.71.1/usb"))
    assert argv[0] == "/usr/bin/systemd-run"
    assert not any("night_ended.py" in word for word in argv), "it is no night"


@pytest.mark.parametrize("asked", ["/usr/lib/openssh/sftp-server", "internal-sftp"])
def test_files_are_read_only_and_keys_are_out_of_reach(asked: str) -> None:
    argv = gate.argv_of(asked)
    assert argv[-2:] == ["/usr/lib/openssh/sftp-server", "-R"]
    assert {"--property=InaccessiblePaths=/etc/snapmirror", "--property=InaccessiblePaths=/root"} <= set(argv)


@pytest.mark.parametrize(
    "asked",
    [
        "", "sh", "snapmirror", "snapmirror list", "snapmirror list x", "snapmirror 'x", "scp -t /etc",
        "/usr/lib/openssh/sftp-server -e", request(), request("--config", "/tmp/mine", "run"), request("config"),
        request("restore", "newest", ".", "--to", "/root"), request("restore", "newest", ".", "--to=/root"),
        request("list", 1), request("list", "a\0b"), request("list") + " x", request("list") + "; reboot",
        "snapmirror eyJhIjoxfQ==", "snapmirror /w==",
    ],
)  # fmt: skip
def test_everything_else_is_refused_in_a_sentence(asked: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", PROGRAMS / "gate.py"],
        env={"SSH_ORIGINAL_COMMAND": asked}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("snapmirror: error: ")


def test_its_commands_are_snapmirrors() -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    groups = {group.name for group in app.registered_groups if group.name}
    assert set(gate.COMMANDS) <= {name.replace("_", "-").strip("-") for name in commands | groups}
