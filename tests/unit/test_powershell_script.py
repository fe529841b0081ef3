"""scripts/Invoke-SnapMirror.ps1 with doubles of ssh and of Hyper-V, all in one PowerShell 7.

tests/integration/test_powershell_module.py runs it as a process of its own, against a real sshd.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import pytest

from snapmirror.errors import ExitCode
from tests.support.pwsh import TESTS, pwsh

SCRIPT = TESTS.parents[1] / "Invoke-SnapMirror.ps1"
CODES = [*(int(code) for code in ExitCode), 255]
# Each call takes its code from the first line that is left of `codes`; the last one stays.
_SSH = """#!/bin/sh
{ printf '%s\\t' "$@"; echo; } >>"$DOUBLE_FOLDER/called"
read -r code <"$DOUBLE_FOLDER/codes"
[ "$(grep -c . "$DOUBLE_FOLDER/codes")" = 1 ] || sed -i 1d "$DOUBLE_FOLDER/codes"
echo "said $code"
exit "$code"
"""
_RUN = """
Import-Module -Name $env:DOUBLES_TESTS/WindowsDoubles.psm1
function Start-Sleep { param($Seconds) [System.IO.File]::AppendAllText("$env:DOUBLE_FOLDER/slept", "$Seconds ") }
function Add-Type {
    # The C# of the script, but with a body in place of what only Windows has.
    param($Namespace, $Name, $MemberDefinition)
    $native = '\\[DllImport\\("kernel32\\.dll"\\)\\]\\s+public static extern (uint \\w+\\(uint flags\\));'
    $ours = 'public static uint Flags; public static $1 { Flags = flags; return 1; }'
    $body = $MemberDefinition -replace $native, $ours
    Microsoft.PowerShell.Utility\\Add-Type -Namespace $Namespace -Name $Name -MemberDefinition $body
}
foreach ($theCase in (ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText("$env:DOUBLES_PLACE/cases.json")))) {
    $env:DOUBLE_FOLDER = $theCase.folder
    $env:OS = $theCase.os
    Reset-Double -Place $theCase.folder
    (Get-Double).VM['vm'] = New-Row @{ Name = 'vm'; State = $theCase.state; Drive = @(); Seen = @() }
    Set-DoubleBreak -Name $theCase.broken -Way before
    $theWords = @{ Address = '192.0.2.2'; KeyFile = '/k e/id'; KnownHosts = $theCase.known }
    if ($theCase.vm) { $theWords['VMName'] = $theCase.vm }
    [Console]::Error.WriteLine("case $($theCase.name)")
    $theOutput = @(& $env:DOUBLES_SCRIPT status '--json' @theWords -WhatIf:$theCase.what_if)
    $theFlags = if ($theCase.os) { [SnapMirror.Sleep]::Flags } else { 0 }
    $theAnswer = @{
        code = $LASTEXITCODE; output = $theOutput; state = (Get-Double).VM['vm'].State; flags = $theFlags
        started = @((Get-Double).Calls | Where-Object { $_.Name -eq 'Start-VM' }).Count
    }
    [System.IO.File]::WriteAllText("$($theCase.folder)/answer.json", (ConvertTo-Json -InputObject $theAnswer))
}
"""


@dataclass
class Case:
    """The codes that ssh ends with, one after the other; the VM that is named, and how it is."""

    codes: tuple[int, ...] = (0,)
    vm: str = ""
    state: str = "Off"
    broken: str = ""
    os: str = ""
    known: str = "/k e/known"
    what_if: bool = False


@dataclass
class Ran:
    """What it has done; `asked` are the words of each call of ssh."""

    code: int
    output: list[str]
    state: str
    flags: int
    started: int
    stderr: str
    slept: list[str]
    calls: list[list[str]]

    @property
    def asked(self) -> list[list[str]]:
        return [json.loads(base64.b64decode(call[-1])) for call in self.calls]


CASES = {
    **{f"ends with {code}": Case((code,)) for code in CODES},
    "is started": Case((255, 255, 0, 3), vm="vm"),
    "runs": Case((3,), vm="vm", state="Running"),
    "never comes": Case((255,), vm="vm"),
    "is not there": Case(vm="other"),
    "cannot be started": Case(vm="vm", broken="Start-VM"),
    "is asked only": Case(vm="vm", what_if=True),
    "on Windows": Case(os="Windows_NT", known="/k e\\known"),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    place = tmp_path_factory.mktemp("script")
    (place / "bin").mkdir()
    (place / "bin/ssh").write_text(_SSH)
    (place / "bin/ssh").chmod(0o755)
    told = []
    for number, (name, case) in enumerate(CASES.items()):
        folder = place / str(number)
        folder.mkdir()
        (folder / "codes").write_text("".join(f"{code}\n" for code in case.codes))
        told.append({**vars(case), "name": name, "folder": str(folder)})
    (place / "cases.json").write_text(json.dumps(told))
    environment = {
        "DOUBLES_PLACE": str(place), "DOUBLES_TESTS": str(TESTS), "DOUBLES_SCRIPT": str(SCRIPT),
        "PATH": f"{place}/bin:/usr/bin:/bin",
    }  # fmt: skip
    done = pwsh(_RUN, environment=environment, cwd=place)
    said = {}
    for part in done.stderr.decode().split("case ")[1:]:
        name, _, rest = part.partition("\n")
        said[name] = rest.strip()
    assert set(said) == set(CASES), done.stderr.decode()
    found = {}
    for number, name in enumerate(CASES):
        folder = place / str(number)
        lines = {file: (folder / file).read_text() if (folder / file).exists() else "" for file in ("called", "slept")}
        answer = json.loads((folder / "answer.json").read_text())
        calls = [line.split("\t")[:-1] for line in lines["called"].splitlines()]
        found[name] = Ran(**answer, stderr=said[name], slept=lines["slept"].split(), calls=calls)
    return found


@pytest.mark.parametrize("code", CODES)
def test_it_ends_with_the_code_of_snapmirror(ran: dict[str, Ran], code: int) -> None:
    one = ran[f"ends with {code}"]
    assert (one.code, one.output, one.stderr) == (code, [f"said {code}"], "")
    assert one.asked == [["status", "--json"]]


def test_a_vm_that_is_off_is_started_and_asked_until_it_answers(ran: dict[str, Ran]) -> None:
    one = ran["is started"]
    assert (one.started, one.state, one.slept) == (1, "Running", ["10", "10"])
    assert one.asked == [["status"]] * 3 + [["status", "--json"]]
    assert (one.code, one.output, one.stderr) == (3, ["said 3"], "")
    one = ran["runs"]
    assert (one.started, one.code, one.asked) == (0, 3, [["status", "--json"]])


def test_a_vm_that_never_comes_is_said(ran: dict[str, Ran]) -> None:
    one = ran["never comes"]
    assert (one.code, one.output, one.started) == (255, [], 1)
    assert one.asked == [["status"]] * 30, "what was wanted is not tried"
    assert "the VM vm does not run: it has not answered by ssh in 30 tries" in one.stderr


@pytest.mark.parametrize(
    "name, why", [("is not there", "other was not found"), ("cannot be started", "Start-VM is broken")]
)
def test_a_vm_that_cannot_be_started_is_said(ran: dict[str, Ran], name: str, why: str) -> None:
    one = ran[name]
    assert (one.code, one.output, one.calls) == (255, [], [])
    assert why in one.stderr and len(one.stderr.splitlines()) == 1


def test_what_if_does_nothing(ran: dict[str, Ran]) -> None:
    one = ran["is asked only"]
    assert (one.code, one.calls, one.started) == (0, [], 0)


def test_what_it_does_on_windows_only(ran: dict[str, Ran]) -> None:
    """The host is kept awake; in quotes ssh takes backslashes for its own."""
    one = ran["on Windows"]
    assert one.flags == 0x80000001, "ES_CONTINUOUS and ES_SYSTEM_REQUIRED"
    assert (one.code, one.asked) == (0, [["status", "--json"]])
    assert 'UserKnownHostsFile="/k e/known"' in one.calls[0]
    assert 'UserKnownHostsFile="/k e/known"' in ran["ends with 0"].calls[0] and "/k e/id" in one.calls[0]
