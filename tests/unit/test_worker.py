"""A command split into a worker and its watcher: exit codes, signals, and what happens when either of them is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
PLAIN = """
import signal, sys, time
from snapmirror import interrupts, worker
from snapmirror.errors import Interrupted
interrupts.install()
with worker.split() as child:
    if child is not None:
        {watcher}
        while (code := child.wait(0.1)) is None:
            pass
        sys.exit(code)
try:
    print("worker", flush=True)
    {body}
except Interrupted as error:
    open({note!r}, "w").write(error.message)
    sys.exit(int(error.exit_code))
"""
# A share that is "mounted" on a plain folder, and whose server falls silent when the test stops the one who asks.
SHARED = """
import os, sys, time
from pathlib import Path
from snapmirror import interrupts
from snapmirror.config import parse
from snapmirror.errors import SnapmirrorError
from snapmirror.storage.run_lock import run_lock
from snapmirror.storage import watchdog
from snapmirror.tools import mount
folder = Path({folder!r})
mount._MOUNTINFO = folder / "mountinfo"
mount._MOUNTINFO.write_text(f"1 0 0:1 / {{folder}}/share rw - cifs //w/b rw\\n")
watchdog._TICK_SECONDS, watchdog._UNWIND_SECONDS = 0.1, 1.0
config = parse({{
    "store": {{"path": str(folder / "store"), "state_dir": str(folder)}},
    "share": {{"unc": "//w/b", "credentials": "/c", "mount_point": str(folder / "share")}},
    "image": {{"file": "i", "size": "1G", "encryption": "none"}}, "mirror": [{{"name": "m", "source": "/etc"}}],
}})
config = config.model_copy(update={{"share": config.share.model_copy(update={{"lost_after_seconds": 1}})}})
interrupts.install()
try:
    code = watchdog.watch(config)
    if code is None:
        with run_lock(config):
            print(os.getpid(), flush=True)
            {body}
except SnapmirrorError as error:
    print(error.message, flush=True)
    sys.exit(int(error.exit_code))
sys.exit(code)
"""


def started(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=False
    )


def first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def plain(tmp_path: Path, body: str, *, watcher: str = "pass") -> subprocess.Popen[bytes]:
    return started(PLAIN.format(body=body, watcher=watcher, note=str(tmp_path / "note")))


@pytest.mark.parametrize(
    ("body", "code"), [("sys.exit(12)", 12), ("pass", 0), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_the_exit_code_is_the_workers(tmp_path: Path, body: str, code: int) -> None:
    process = plain(tmp_path, body)
    assert process.communicate()[0] == b"worker\n"
    assert process.returncode == code


@pytest.mark.parametrize("watcher", ["pass", "time.sleep(1)"], ids=["waiting", "busy"])
def test_a_signal_reaches_the_worker(tmp_path: Path, watcher: str) -> None:
    process = plain(tmp_path, "time.sleep(600)", watcher=watcher)
    assert first_line(process) == "worker"
    process.terminate()
    assert process.wait() == 143
    assert (tmp_path / "note").read_text() == "stopped by SIGTERM"


def test_a_worker_without_its_watcher_lets_go_and_unwinds(tmp_path: Path) -> None:
    process = plain(tmp_path, "time.sleep(600)")
    assert first_line(process) == "worker"
    (worker,) = psutil.Process(process.pid).children()
    process.kill()
    assert process.communicate()[0] == b"", "who reads the output of the dead one is not kept waiting"
    until(
        lambda: (tmp_path / "note").exists() and not worker.is_running(), "the worker has unwound and ended", seconds=60
    )


def shared(tmp_path: Path, body: str) -> tuple[subprocess.Popen[bytes], psutil.Process]:
    (tmp_path / "share").mkdir()
    process = started(SHARED.format(folder=str(tmp_path), body=body))
    worker = psutil.Process(int(first_line(process)))
    return process, worker


def silence(process: subprocess.Popen[bytes], worker: psutil.Process) -> psutil.Process:
    """Stop the one who asks the server."""
    (helper,) = (child for child in psutil.Process(process.pid).children() if child.pid != worker.pid)
    helper.suspend()
    return helper


def test_a_silent_server_ends_the_run(tmp_path: Path) -> None:
    process, worker = shared(tmp_path, "time.sleep(600)")
    silence(process, worker)
    assert process.communicate()[0] == b"//w/b has not answered for 1 seconds\n"
    assert process.returncode == 11


def test_a_server_that_answers_does_not(tmp_path: Path) -> None:
    process, _ = shared(tmp_path, "time.sleep(3)\n            code = 0")
    assert process.wait() == 0


def test_a_worker_that_cannot_leave_is_stuck_and_is_waited_for_by_the_next_run_alone(tmp_path: Path) -> None:
    endless = (
        "import signal\n"
        "            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})\n"
        "            time.sleep(600)"
    )
    process, worker = shared(tmp_path, endless)
    try:
        silence(process, worker)
        assert f"process {worker.pid} waits for the server" in process.communicate()[0].decode()
        assert process.returncode == 20
        assert worker.is_running()
        until(lambda: os.readlink(f"/proc/{worker.pid}/fd/1") == os.devnull, "it has let go of its streams")
        code = f"""{SHARED.split("try:")[0]}
import logging
from snapmirror.storage import run_lock as lock
from snapmirror.model import NOTICE
logging.basicConfig(level=NOTICE)
lock._LAST_RUN_SECONDS = {{seconds}}
with run_lock(config):
    pass
"""
        hasty = code.format(folder=str(tmp_path), seconds=1)
        second = subprocess.run([sys.executable, "-c", hasty], cwd=ROOT, capture_output=True, check=False)
        assert "StuckError: the last run has not ended: //w/b is away" in second.stderr.decode()
        third = subprocess.Popen(
            [sys.executable, "-c", code.format(folder=str(tmp_path), seconds=60)], cwd=ROOT, stderr=subprocess.PIPE
        )
        assert third.stderr is not None
        assert b"has not ended yet, it has 60 seconds to do so" in third.stderr.readline()
    finally:
        worker.send_signal(signal.SIGKILL)
    assert third.wait() == 0, "it is gone"
