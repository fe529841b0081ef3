"""A server that is away for some minutes costs no night: it is tried again, with the store closed; a lock can wait."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from snapmirror.config import load
from snapmirror.errors import UnreachableError
from snapmirror.storage.initialise import initialise
from snapmirror.tools import rsync_output
from tests.support.runner import Scene
from tests.support.sshd import free_port, rsync_daemon_running, sshd_running
from tests.support.storage import TINY, stack_image
from tests.support.waiting import until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    (scene.source / "file").write_text("one\n")
    try:
        yield scene
    finally:
        scene.release()


def await_line(process: subprocess.Popen[str], text: str) -> None:
    """The next lines of its stderr, up to one that holds the text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended without {text!r}")


def test_a_server_that_comes_back_is_mirrored_and_meanwhile_the_store_is_closed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, image=stack_image(tmp_path, "luks1", "ext4"))
    (scene.source / "file").write_text("one\n")
    initialise(load(scene.config), workload=TINY)
    port = free_port()
    scene.configure(source=f"rsync://127.0.0.1:{port}/data", retries=50, retry_after="3s")
    scene.config.write_text(scene.config.read_text() + f'[[mirror]]\nname = "local"\nsource = "{scene.source}"\n')
    scene.config.write_text(scene.config.read_text() + '[mirror.guard]\nmin_free = "1M"\n')
    with ExitStack() as stack:
        stack.callback(scene.release)
        night = scene.start("run", "--json")
        await_line(night, "trying again (1 of 50)")
        listed = scene.command("list", "--json")  # the lock is free, the image closed, and the other mirror there
        assert listed.exit_code == 0, str(listed)
        assert [one["mirror"] for one in listed.json] == ["local"]
        settings = scene.folder / "daemon"
        settings.mkdir()
        (settings / "rsyncd.conf").write_text(
            f"port = {port}\naddress = 127.0.0.1\nuse chroot = no\n[data]\npath = {scene.source}\nuid = root\ngid = *\n"
        )
        daemon = subprocess.Popen(
            ["/usr/bin/rsync", "--daemon", "--no-detach", f"--config={settings}/rsyncd.conf"],
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        stack.callback(daemon.wait)
        stack.callback(daemon.terminate)
        done = scene.finish(night)
        assert done.exit_code == 0, str(done)
        first, second = done.json["mirrors"]
        assert (first["mirror"], first["result"], first["warnings"]) == ("web", "published", [])
        assert first["attempts"] >= 2 and second["attempts"] == 1
    assert scene.leftovers() == []


def test_a_run_that_waits_is_not_told_to_have_failed(scene: Scene) -> None:
    """status and doctor say that it waits, until when, and for which try; once it was killed, that it has failed."""
    scene.configure(source=f"rsync://127.0.0.1:{free_port()}/data", retries=3, retry_after="10h")
    night = scene.start("run")
    await_line(night, "trying again (1 of 3)")
    status = scene.command("status", "--json")
    [mirror] = status.json["mirrors"]
    assert status.exit_code == 3
    assert (mirror["result"], mirror["next_try"], mirror["retries"]) == ("waiting", 1, 3)
    left = datetime.fromisoformat(mirror["next_try_at"]) - datetime.now(UTC)
    assert timedelta(hours=9) < left < timedelta(hours=10, seconds=2)
    [finding] = [one for one in status.json["findings"] if "the run" in one]
    assert "the run waits until 20" in finding and "for its try 1 of 3 after the first" in finding
    shown = scene.command("status").stdout
    assert "waiting (try 1 of 3)" in shown and "run failed" not in shown
    doctor = scene.command("doctor").stdout
    assert "the run waits until 20" in doctor and "ago, failed" not in doctor
    night.kill()
    night.communicate()
    [mirror] = scene.command("status", "--json").json["mirrors"]
    assert (mirror["result"], mirror["next_try_at"], mirror["next_try"]) == ("failed", None, None)


def test_doctor_gives_the_hint_of_a_failed_run_as_that_runs(scene: Scene) -> None:
    """It is of that time; what is wrong now is told by the other lines."""
    scene.configure(source=f"rsync://127.0.0.1:{free_port()}/data", retries=0)
    hint = scene.night(expect=[12]).mirror["hint"]
    scene.configure(source=str(scene.source))
    doctor = scene.command("doctor")
    assert doctor.exit_code == 3, str(doctor)
    lines = [line.strip() for line in doctor.stdout.splitlines()]
    assert hint and hint not in lines
    assert f"'snapmirror run web' tries again; the hint of that run was: {hint}" in lines


def test_it_is_tried_as_often_as_configured_and_no_more(scene: Scene) -> None:
    scene.configure(source=f"rsync://127.0.0.1:{free_port()}/data", retries=2, retry_after="1s")
    done = scene.night(expect=[12])
    assert done.mirror["attempts"] == 3
    assert done.stderr.count("trying again") == 2


def test_what_does_not_pass_by_itself_is_not_tried_again(scene: Scene) -> None:
    again: dict[str, Any] = {"retries": 3, "retry_after": "10h"}
    scene.configure(source=str(scene.folder / "nowhere"), **again)
    assert scene.night(expect=[12]).mirror["attempts"] == 1
    with sshd_running(scene.folder / "sshd") as server:
        scene.configure(source=f"{server.login}:{scene.source}", **server.options(), **again)
        server.known_hosts.write_text("")
        assert "Host key verification failed" in scene.night(expect=[12]).mirror["error"]
    with rsync_daemon_running(scene.folder / "rsyncd", scene.source, password="secret") as port:
        scene.mirror.clear()
        scene.configure(source=f"rsync://127.0.0.1:{port}/data", **again)
        assert scene.night(expect=[12]).mirror["attempts"] == 1


def test_a_signal_ends_the_waiting_at_once(scene: Scene) -> None:
    scene.configure(source=f"rsync://127.0.0.1:{free_port()}/data", retries=3, retry_after="10h")
    night = scene.start("run")
    await_line(night, "trying again (1 of 3)")
    night.send_signal(signal.SIGTERM)
    assert scene.finish(night, timeout=60).exit_code == 143
    [kept] = [json.loads(path.read_text()) for path in scene.state.glob("*.json") if path.name.count(".") == 1]
    assert "there is no rsync daemon" in kept["mirrors"][0]["error"]
    assert (kept["mirrors"][0]["exit_code"], kept["mirrors"][0]["result"]) == (12, "failed")


def test_a_run_waits_for_another_one(scene: Scene) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        port = silent.getsockname()[1]
        scene.configure(source=f"rsync://127.0.0.1:{port}/data")
        first = scene.start("run")
        until(lambda: scene.command("status", "--json").json["running_since"], "it runs", running=first)
        scene.configure(source=str(scene.source))
        assert scene.command("run").exit_code == 10
        second = scene.start("run", "--wait")
        await_line(second, "waiting for it")
        first.send_signal(signal.SIGTERM)
        scene.finish(first)
    assert scene.finish(second).exit_code == 0
    assert len(scene.published()) == 1


@pytest.mark.parametrize(
    ("code", "stderr", "passes"),
    [
        (10, "rsync: [Receiver] failed to connect to x (::1): Connection refused (111)", True),
        (10, "rsync: getaddrinfo: x 873: Name or service not known", False),
        (10, "rsync: getaddrinfo: x 873: Temporary failure in name resolution", True),
        (12, "rsync: connection unexpectedly closed (17 bytes received so far) [Receiver]", True),
        (12, "ssh: connect to host x port 22: Connection refused", True),
        (30, "", True),
        (35, "", True),
        (255, "ssh: connect to host x port 22: No route to host", True),
        (255, "ssh: Could not resolve hostname x: Temporary failure in name resolution", True),
        (255, "ssh: Could not resolve hostname x: Name or service not known", False),
        (255, "Host key verification failed.\nConnection closed by UNKNOWN port 65535", False),
        (255, "root@x: Permission denied (publickey).", False),
        (255, "client_loop: send disconnect: Broken pipe", True),
        (255, "", True),
        (5, "@ERROR: max connections (1) reached -- try again later", True),
        (5, "@ERROR: Unknown module 'x'", False),
        (23, "rsync: [sender] opendir failed: Permission denied (13)", False),
        (1, "", False),
        (127, "bash: rsync: command not found", False),
    ],
)
def test_what_may_pass(code: int, stderr: str, passes: bool) -> None:
    assert isinstance(rsync_output.failure(code, stderr.encode(), "listing x"), UnreachableError) == passes
