"""The questions of scripts/first-run.ps1, at a terminal, on the doubles of Windows that its Pester tests have."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from pathlib import Path

import pytest

from tests.support.pwsh import TESTS, engine, pwsh_environment

SCRIPT = """
$ErrorActionPreference = 'Stop'
$TestDrive = $env:TEST_PLACE
. (Join-Path $env:TEST_SCRIPTS 'FirstRunHost.ps1')
New-Host
$env:USERNAME = 'jdoe'
$all = @{
    VhdxPath = Join-Path $script:Root 'vm.vhdx'; SharePath = Join-Path $script:Root 'share'; SwitchName = 'External'
    Source = 'root@web1.secret:/etc'; SeedPath = Join-Path $script:Root 'seed'; RestorePath = '/hosts'
    ReportPath = Join-Path $script:Root 'report'; TestPath = Join-Path $script:Root 'none'
}
& (Join-Path $env:TEST_SCRIPTS '../../first-run.ps1') @all 6>&1 | ForEach-Object { "SAID $_" }
$made = 'share', 'report', 'data/SnapMirror' | Where-Object { Test-Path (Join-Path $script:Root $_) }
"MADE <$made>"
"CHANGED <$((Get-Double).Calls | ForEach-Object Name | Where-Object { $_ -notlike 'Get-*' } | Select-Object -Unique)>"
$report = Join-Path $script:Root 'report/first-run.txt'
"RUN <$(if (Test-Path $report) { (Select-String -Path $report -Pattern 'a snapshot').Line })>"
"""
CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


class Terminal:
    """A person at a terminal, before whom a script runs."""

    def __init__(self, folder: Path) -> None:
        script = folder / "ask.ps1"
        script.write_text(SCRIPT)
        self.master, slave = pty.openpty()
        told = {"TEST_PLACE": str(folder), "TEST_SCRIPTS": str(TESTS), "TERM": "xterm", "TMPDIR": str(folder)}
        self.process = subprocess.Popen(
            [engine(), "-NoProfile", "-File", str(script)],
            env={**pwsh_environment(), **told},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = b""

    def until(self, words: bytes) -> bytes:
        """What the terminal shows until these words come, and they."""
        while words not in self.seen:
            assert select.select([self.master], [], [], 120)[0], self.seen
            try:
                new = os.read(self.master, 65536)
            except OSError:  # the program has ended
                pytest.fail(f"ended without {words!r}: {self.seen!r}")
            if b"\x1b[6n" in new:  # where is the cursor?
                os.write(self.master, b"\x1b[1;1R")
            self.seen += CONTROL.sub(b"", new)
        before, _, self.seen = self.seen.partition(words)
        return before + words

    def answer(self, words: bytes) -> None:
        os.write(self.master, words + b"\r")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_first_run_that_is_answered_with_no_makes_nothing(terminal: Terminal) -> None:
    try:
        asked = terminal.until(b"[N] No")
        assert b"install SnapMirror as the VM snapmirror-try" in asked
        terminal.until(b"):")
        terminal.answer(b"n")
        rest = terminal.until(b"RUN <>")
        assert b"MADE <>" in rest
        assert b"CHANGED <>" in rest
    finally:
        terminal.close()


def test_first_run_shows_the_key_and_waits_until_it_is_on_the_server(terminal: Terminal) -> None:
    try:
        terminal.until(b"[N] No")
        terminal.until(b"):")
        terminal.answer(b"y")
        shown = terminal.until(b"Return when it is there")
        assert re.search(rb"authorized_keys of the server.*ssh-ed25519 \S+", shown, re.DOTALL)
        assert b"a snapshot ..." not in shown
        terminal.answer(b"")
        rest = terminal.until(b"RUN <good")
        assert b"a snapshot ..." in rest
    finally:
        terminal.close()
