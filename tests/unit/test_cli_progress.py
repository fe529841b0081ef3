"""Progress as it is seen: on a real terminal (a pty), in a log, and not at all."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = r"""
import logging, sys, time
from snapmirror.cli import logs, progress
logs.set_up(logging.INFO)
progress._LINE_SECONDS = progress._Counted.pause = 0.05
with progress.shown(quiet="--quiet" in sys.argv) as shown:
    shown.begin("fetching w\x1b[31meb", names=100, size=100 << 20)
    for _ in range(20):
        time.sleep(0.02)
        shown.advance(5, 5 << 20)
    logging.getLogger("snapmirror.test").info("a step in between")
    shown.end()
    shown.begin("listing")
    shown.advance(3)
    shown.end()
print("the result")
"""


def on_a_terminal(*words: str) -> str:
    """stdout and stderr as a terminal of 120 columns gets them."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, *words], stdout=slave, stderr=slave, cwd=ROOT, close_fds=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(slave)
    seen = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(master)
    assert process.wait() == 0, seen
    return seen.decode()


def test_a_terminal_shows_a_bar_with_rate_and_remaining_time() -> None:
    seen = on_a_terminal()
    assert "fetching w\\x1b[31meb" in seen
    assert "\x1b[31meb" not in seen
    assert re.search(r"\d+ of 100 names, [\d.]+ MiB of 100.0 MiB, [\d.]+ MiB/s", seen)
    assert re.search(r"[\d.]+ s left", seen)
    assert "a step in between" in seen
    assert seen.rstrip().endswith("the result")


def test_a_log_gets_lines_now_and_then() -> None:
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "the result\n"
    assert re.search(r"fetching w\\x1b\[31meb: \d+ of 100 names, .* MiB/s, [\d.]+ s left\n", done.stderr)
    assert "\r" not in done.stderr
    assert "\x1b" not in done.stderr


def test_quiet_shows_nothing() -> None:
    assert "fetching" not in on_a_terminal("--quiet")
