"""Signals as an exception: once, and not in the middle of what has to be whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
import os, signal
from snapmirror import interrupts
from snapmirror.errors import Interrupted, StorageError, StuckError
interrupts.install()
def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)
"""


def script(text: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
    """In a process of its own: signals are a matter of whole processes."""
    return subprocess.run(
        [sys.executable, "-c", before + HEAD + text], capture_output=True, text=True, check=False, cwd=ROOT
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_is_raised_and_the_second_is_noted(name: str) -> None:
    done = script(f"""
try:
    send(signal.{name})
except Interrupted as first:
    print(first.message, int(first.exit_code))
    send(signal.{name})
    print("still here")
""")
    assert done.stdout == f"stopped by {name} {130 if name == 'SIGINT' else 143}\nstill here\n"
    assert "one moment" in done.stderr


def test_a_deferred_signal_is_raised_at_the_end_of_the_outermost_block() -> None:
    done = script("""
try:
    with interrupts.deferred():
        with interrupts.deferred():
            send(); print("inner")
        print("outer")
    print("never")
except Interrupted:
    print("raised")
""")
    assert done.stdout == "inner\nouter\nraised\n", done


def test_a_deferred_signal_outranks_an_error_but_not_what_is_stuck() -> None:
    done = script("""
for kind in (StorageError, StuckError):
    interrupts._State.raised = False
    try:
        with interrupts.deferred():
            send()
            raise kind("error")
    except (Interrupted, StorageError, StuckError) as error:
        print(type(error).__name__, type(error.__context__).__name__)
with interrupts.deferred():
    print("nothing is left over")
""")
    assert done.stdout == "Interrupted StorageError\nStuckError NoneType\nnothing is left over\n", done


def test_a_block_in_another_thread_holds_nothing_back() -> None:
    """Signals are raised in the main thread alone: raised by the other one, it would wait until somebody asks that."""
    done = script("""
import threading, time
inside, over = threading.Event(), threading.Event()
def work():
    with interrupts.deferred():
        inside.set(); over.wait(10)
    print("whole")
thread = threading.Thread(target=work)
thread.start()
inside.wait()
try:
    send(); time.sleep(10); print("never")
except Interrupted:
    print("raised")
over.set()
thread.join()
""")
    assert done.stdout == "raised\nwhole\n", done


def test_a_program_that_is_just_being_started_is_ended_as_well() -> None:
    """It sends the signal itself, as soon as it runs: mostly before its start is over on our side."""
    for _ in range(10):
        done = script("""
import psutil
from snapmirror import process
try:
    with process.running(["sh", "-c", "kill -TERM $PPID; exec sleep 1000"]):
        signal.pause()
except Interrupted:
    print("raised", len(psutil.Process().children()))
""")
        assert done.stdout == "raised 0\n", done


def test_an_ignored_hangup_stays_ignored() -> None:
    """As under nohup."""
    done = script(
        "send(signal.SIGHUP); print('here')", before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    )
    assert done.stdout == "here\n"
    assert signal.getsignal(signal.SIGHUP) is not None


def test_a_signal_just_before_a_wait_is_seen() -> None:
    """Neither in the search, which takes a moment, nor between it and the wait does Python look for signals."""
    done = script("""
import subprocess, time
try:
    subprocess.Popen(["sh", "-c", f"kill -TERM {os.getpid()}"])
    time.sleep(600 + (0.5 in range(10**7)))
except Interrupted as first:
    print(first.message)
""")
    assert done.stdout == "stopped by SIGTERM\n", done
