"""The Windows host around a night: kept awake, told of the result, its task started; and nothing of it ends a night."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runner import REPOSITORY, Scene
from tests.support.sshd import free_port
from tests.support.waiting import until
from tests.support.windows import Windows
from tests.support.winrm import PASSWORD, USER, WinRM, settled, winrm_running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WinRM]:
    with winrm_running(tmp_path_factory.mktemp("winrm")) as double:
        yield double


@pytest.fixture
def winrm(running: WinRM) -> Iterator[WinRM]:
    running.mode, running.windows = "", Windows()
    for seen in (running.calls, running.logins, running.refused):
        seen.clear()
    yield running
    settled(running)


def scene_of(folder: Path, winrm: WinRM, **options: Any) -> Scene:
    """A store, a source with a file, and a section [host]."""
    secret = folder / "password"
    secret.touch(0o600)
    secret.write_text(options.pop("password", PASSWORD))
    table = {
        "address": "127.0.0.1", "port": winrm.port, "user": USER, "password_file": str(secret),
        "ca_file": str(winrm.ca_file), "timeout_seconds": 20, "image_path": "D:\\x.img", **options,
    }  # fmt: skip
    report = {"json_file": str(folder / "report.json")}
    scene = Scene(folder / "scene", sections={"host": table, "report": report})
    (scene.source / "file").write_text("content")
    return scene


def test_a_good_night(tmp_path: Path, winrm: WinRM) -> None:
    scene = scene_of(tmp_path, winrm, copy_task="\\Backup\\Copy to USB")
    night = scene.night()
    assert night.json["warnings"] == []
    assert winrm.scripts() == ["awake", "task", "event"]
    assert winrm.windows.tasks == ["\\Backup\\Copy to USB"]
    [event] = winrm.windows.events
    assert (event["id"], event["level"]) == (1000, "Information")
    assert event["message"].splitlines()[0] == "snapmirror: done (exit code 0)"
    assert event["message"].splitlines()[1].startswith(f"web: {night.mirror['snapshot']}: 2 added, 0 updated")
    assert not scene.leftovers()
    settled(winrm)  # the shell that kept Windows awake is gone with the night


def test_the_task_is_started_once_the_image_is_closed_and_windows_is_awake(tmp_path: Path, winrm: WinRM) -> None:
    scene = scene_of(tmp_path, winrm, copy_task="Copy")
    scene.image = {"file": str(tmp_path / "x.img"), "size": "512M", "encryption": "none"}
    scene.configure()
    assert scene.command("init").exit_code == 0
    seen: list[tuple[list[str], int]] = []
    mounts = Path("/proc/self/mountinfo")
    winrm.windows.when["task"] = lambda: seen.append(
        ([line for line in mounts.read_text().splitlines() if str(scene.folder) in line], len(winrm.shells))
    )
    scene.night()
    assert seen == [([], 2)], "nothing is mounted; there are the task's shell, and the one that keeps Windows awake"
    assert not scene.leftovers()


def test_a_night_that_fails_is_told_and_starts_no_copy(tmp_path: Path, winrm: WinRM) -> None:
    scene = scene_of(tmp_path, winrm, copy_task="Copy")
    scene.source.rename(tmp_path / "elsewhere")
    scene.night(expect=(12,))
    assert winrm.scripts() == ["awake", "event"]
    [event] = winrm.windows.events
    assert (event["id"], event["level"]) == (1012, "Error")
    assert "web: failed: " in event["message"]


def test_a_store_that_is_stuck_is_told_and_starts_no_copy(tmp_path: Path, winrm: WinRM) -> None:
    """The night was published; that the image is still open outranks it, and Windows must not copy it."""
    scene = scene_of(tmp_path, winrm, copy_task="Copy")
    scene.image = {"file": str(tmp_path / "x.img"), "size": "512M", "encryption": "none"}
    scene.configure()
    assert scene.command("init").exit_code == 0
    path = os.environ["PATH"]
    scene.fake_program(
        "rsync",
        f"#!/bin/sh\n(cd {scene.store} && exec env -i setsid {shutil.which('sleep')} 60 </dev/null >/dev/null 2>&1) &\n"
        f'PATH={path} exec {shutil.which("rsync")} "$@"\n',
    )
    try:
        done = scene.command("run")
        assert done.exit_code == 20, str(done)
        assert winrm.scripts() == ["awake", "event"]
        [event] = winrm.windows.events
        assert (event["id"], event["level"]) == (1020, "Error")
        assert event["message"].splitlines()[0] == "snapmirror: failed (exit code 20)"
        assert event["message"].splitlines()[2].startswith("failed: "), event["message"]
    finally:
        scene.release()


def test_a_store_that_cannot_be_opened_is_told(tmp_path: Path, winrm: WinRM) -> None:
    scene = scene_of(tmp_path, winrm)
    scene.store.rmdir()
    assert scene.command("run").exit_code == 11
    [event] = winrm.windows.events
    assert (event["id"], event["level"]) == (1011, "Error")


@pytest.mark.parametrize(
    "options",
    [
        {"ca_file": "/nonexistent"}, {"password_file": "/nonexistent"},
        {"password_file": None, "password_command": ["/nonexistent/program"]},
    ],
)  # fmt: skip
def test_what_is_missing_here_is_one_warning_as_well(tmp_path: Path, winrm: WinRM, options: dict[str, Any]) -> None:
    night = scene_of(tmp_path, winrm, **options).night(expect=(3,))
    [warning] = night.json["warnings"]
    assert "/nonexistent" in warning
    assert night.mirror["result"] == "published"
    assert not winrm.calls


@pytest.mark.parametrize("how", ["away", "hangs", "password"])
def test_a_host_that_cannot_be_asked_is_one_warning(tmp_path: Path, winrm: WinRM, how: str) -> None:
    options: dict[str, Any] = {"copy_task": "Copy"}
    if how == "away":
        options["port"] = free_port()
    elif how == "hangs":
        winrm.mode = "hangs"
        options["timeout_seconds"] = 1
    else:
        options["password"] = "wrong"
    scene = scene_of(tmp_path, winrm, **options)
    night = scene.night(expect=(3,))
    assert night.mirror["result"] == "published"
    assert len(night.json["warnings"]) == 1
    assert night.json["warnings"][0].startswith("Windows is not kept awake: the Windows host ")
    assert json.loads((tmp_path / "report.json").read_text())["warnings"] == night.json["warnings"]
    found = scene.command("status", "--json").json["findings"]
    assert found == [f"the last run: {night.json['warnings'][0]}"]
    if how == "password":
        assert winrm.logins == ["NTLM bad"], "more tries would lock the account"
    (scene.source / "file").write_text("other")
    said = scene.command("run")
    assert said.stderr.count("Windows host ") == 1
    assert "done, with warnings" in said.stdout
    assert len(scene.published()) == 2


def test_a_script_that_fails_there_is_a_warning_of_its_own(tmp_path: Path, winrm: WinRM) -> None:
    winrm.windows.event_source = False
    winrm.windows.native = {"task": (1, "ERROR: The system cannot find the file specified.")}
    night = scene_of(tmp_path, winrm, copy_task="Copy").night(expect=(3,))
    assert night.json["warnings"] == [
        "the task Copy was not started: ERROR: The system cannot find the file specified.",
        'the event log was not told: The source name "snapmirror" does not exist on computer "localhost".',
    ]


def test_windows_that_was_not_kept_awake_to_the_end(tmp_path: Path, winrm: WinRM) -> None:
    winrm.mode = "falls asleep"
    scene = scene_of(tmp_path, winrm)
    scene.fake_program("rsync", f'#!/bin/sh\nsleep 1\nexec {shutil.which("rsync")} "$@"\n')
    night = scene.night(expect=(3,))
    assert night.mirror["result"] == "published"
    [warning] = night.json["warnings"]
    assert warning.startswith("Windows was not kept awake to the end: ")
    [event] = winrm.windows.events
    assert (event["id"], event["level"]) == (1003, "Warning")
    assert "warning: Windows was not kept awake to the end" in event["message"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_night_that_is_stopped(tmp_path: Path, winrm: WinRM, number: signal.Signals) -> None:
    scene = scene_of(tmp_path, winrm)
    scene.fake_program("rsync", "#!/bin/sh\nexec sleep 600\n")
    night = scene.start("run")
    until(lambda: winrm.shells and len(scene.processes()) >= 3, "the night asks the host", running=night)
    night.send_signal(number)
    code = scene.finish(night).exit_code
    assert not scene.leftovers()
    if number == signal.SIGKILL:
        winrm.shells.clear()  # Windows deletes it, when nobody has asked for it for a while
    else:
        assert code == 143
    assert not winrm.windows.events


def test_a_host_that_is_not_to_be_asked_is_not_asked(tmp_path: Path, winrm: WinRM) -> None:
    before = winrm.connections
    scene_of(tmp_path, winrm, keep_awake=False, event_log=False).night()
    assert winrm.connections == before


def test_without_a_section_host_nothing_of_it_is_even_imported(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "scene")
    (scene.source / "file").write_text("content")
    script = (
        "import sys; from snapmirror.cli import run_command; assert run_command(sys.argv[1:]) == 0;"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('winrm', 'requests', 'spnego', 'cryptography')"
        " or m.startswith(('snapmirror.windows', 'snapmirror.tools.w'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--quiet", "--config", scene.config, "run"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
