"""The scripts for a Windows host, run by PowerShell 7 on doubles: all cases in one process, as a start costs a second.

Each script runs at the engine's top level, as by -EncodedCommand: there its $ErrorActionPreference reaches functions of
other modules, too. Programs are a shell script under their names, which notes its arguments one by one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from snapmirror.config import HostConfig
from snapmirror.tools import winrm
from snapmirror.windows.asking import SCRIPTS, Host
from tests.support.pwsh import TESTS, pwsh

PROGRAMS = ("fsutil.exe", "compact.exe", "schtasks.exe", "powercfg.exe")
LOGIN = winrm.Login("winhost", 5986, "https", "user", "", "", None, None, timeout=20)
_PROGRAM = """#!/bin/sh
name=${0##*/}
for last; do :; done
{ printf %s "$name"; printf '\\t%s' "$@"; echo; } >>"$DOUBLE_FOLDER/called"
file=$DOUBLE_FOLDER/$name
[ -e "$file $last" ] && file="$file $last"
[ -e "$file" ] || exit 0
{ read -r code; cat; } <"$file"
exit "$code"
"""
# Static methods of .NET that there are not on Linux, and of the C# that awake.ps1 brings: that is compiled, too.
_RUN = """
class DoubleEventLog {
    static [object] $There
    static [bool] SourceExists([string] $Source) {
        if ([DoubleEventLog]::There -is [string]) {
            throw (New-Object -TypeName System.Security.SecurityException -ArgumentList ([DoubleEventLog]::There))
        }
        return ($Source -ceq 'snapmirror') -and [DoubleEventLog]::There
    }
}
class DoublePower {
    static [uint32] $Before
    static [uint32] $Flags
    static [uint32] SetThreadExecutionState([uint32] $Flags) {
        [DoublePower]::Flags = $Flags
        return [DoublePower]::Before
    }
}
$theNames = [psobject].Assembly.GetType('System.Management.Automation.TypeAccelerators')
$theNames::Add('Diagnostics.EventLog', [DoubleEventLog])
function Add-Type {
    param([string] $MemberDefinition, [string] $Namespace, [string] $Name, [switch] $PassThru)
    $compiled = Microsoft.PowerShell.Utility\\Add-Type @PSBoundParameters
    if (-not $compiled.GetMethod('SetThreadExecutionState')) { throw 'not what is wanted' }
    [DoublePower]
}
Import-Module -Name $env:DOUBLES_TESTS/WindowsDoubles.psm1
Import-Module -Name $env:DOUBLES_SUPPORT/HostDoubles.psm1 -DisableNameChecking
foreach ($theCase in (ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText("$env:DOUBLES_PLACE/cases.json")))) {
    $theWorld = $theCase.world
    $env:DOUBLE_FOLDER = $theCase.folder
    $env:SNAPMIRROR_PARAMETERS = $theCase.parameters
    Reset-Double -Place $theCase.folder
    foreach ($theShare in @($theWorld.smb_shares)) { if ($theShare) { (Get-Double).Share[$theShare.Name] = $theShare } }
    Set-HostWorld -World $theWorld
    Set-DoubleBreak -Name $theWorld.broken -Way before
    [DoubleEventLog]::There = $theWorld.event_source
    [DoublePower]::Before = $theWorld.power
    [DoublePower]::Flags = 0
    if ($theWorld.registry) {
        $null = New-PSDrive -Name HKLM -PSProvider FileSystem -Root $theWorld.registry -Scope Global
    }
    $theWriter = New-Object -TypeName System.IO.StringWriter
    $theConsole = [Console]::Out
    [Console]::SetOut($theWriter)
    $global:LASTEXITCODE = 0
    $theError = ''
    $theEnd = $false
    $theOutput = @(try { . $theCase.file } catch { $theError = "$_"; $global:LASTEXITCODE = 1 })
    $theCode = if ($theEnd) { 0 } else { $LASTEXITCODE } # (without exit, what a program ended with counts for nothing)
    [Console]::SetOut($theConsole)
    $ErrorActionPreference = 'Continue'
    Get-PSDrive -Name HKLM -ErrorAction Ignore | Remove-PSDrive -Force -Scope Global
    $theCalls = @((Get-Double).Calls | ForEach-Object { @{ name = $_.Name; given = $_.Given } })
    $theAnswer = @{
        exit_code = $theCode; stdout = ($theWriter.ToString() + ($theOutput -join "`n")); stderr = $theError
        calls = $theCalls; flags = [DoublePower]::Flags
    }
    $theText = ConvertTo-Json -InputObject $theAnswer -Depth 5 -Compress
    [System.IO.File]::WriteAllText("$($theCase.folder)/answer.json", $theText)
}
"""


@dataclass
class Case:
    """A script, its parameters, and what it finds: `world` for the doubles, `programs` with exit code and lines."""

    script: str
    parameters: dict[str, Any] = field(default_factory=dict)
    world: dict[str, Any] = field(default_factory=dict)
    programs: dict[str, tuple[int, str]] = field(default_factory=dict)


@dataclass
class Ran:
    """What a script has done: its answer as snapmirror.tools.wsman hands it on, cmdlets and programs that it called."""

    exit_code: int
    stdout: str
    stderr: str
    calls: list[dict[str, Any]]
    flags: int
    programs: list[list[str]]

    def answer(self) -> dict[str, Any]:
        """As it is read in production. Raises HostError."""
        told = {"exit_code": self.exit_code, "stdout": self.stdout.strip(), "stderr": self.stderr}
        return winrm._answer(LOGIN, json.dumps(told).encode() + b"\n")

    def given(self, cmdlet: str) -> list[dict[str, Any]]:
        """The parameters of each call of a cmdlet."""
        return [call["given"] for call in self.calls if call["name"] == cmdlet]


class EngineHost(Host):
    """A host that answers what the engine has printed."""

    def __init__(self, config: HostConfig, ran: dict[str, Ran]) -> None:
        super().__init__(config)
        self.ran, self.asked = ran, dict[str, dict[str, object]]()

    def ask(self, script: str, **parameters: object) -> dict[str, Any]:
        self.asked[script] = parameters
        return self.ran[script].answer()


def run_all(place: Path, cases: dict[str, Case]) -> dict[str, Ran]:
    """Run every case, in one engine."""
    programs = place / "programs"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text(_PROGRAM)
        (programs / name).chmod(0o755)
    told = []
    for number, case in enumerate(cases.values()):
        folder = place / str(number)
        folder.mkdir()
        for name, (code, said) in case.programs.items():
            (folder / name).write_text(f"{code}\n{said}\n")
        file = folder / "script.ps1"  # with a line more, so that an exit is seen
        file.write_text((SCRIPTS / f"{case.script}.ps1").read_text(encoding="utf-8") + "\n$theEnd = $true\n")
        one = {**asdict(case), "folder": str(folder), "file": str(file)}
        told.append({**one, "parameters": json.dumps(case.parameters)})
    (place / "cases.json").write_text(json.dumps(told))
    environment = {
        "DOUBLES_PLACE": str(place), "DOUBLES_TESTS": str(TESTS), "DOUBLES_SUPPORT": str(Path(__file__).parent),
        "PATH": f"{programs}:/usr/bin:/bin",
    }  # fmt: skip
    done = pwsh(_RUN, environment=environment, cwd=place)
    assert not done.stderr and not done.stdout, (done.stdout + done.stderr).decode()
    found = {}
    for number, name in enumerate(cases):
        called = place / str(number) / "called"
        lines = called.read_text().splitlines() if called.exists() else []
        answer = json.loads((place / str(number) / "answer.json").read_text())
        found[name] = Ran(**answer, programs=[line.split("\t") for line in lines])
    return found
