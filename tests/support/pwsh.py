"""A real PowerShell: where it is, what it prints, and the Pester tests of the module as it has run them.

Users have `pwsh` on PATH, and .ci/run puts one there. Without it the tests that need it are skipped, but fail where
.ci/run has started them: there nothing may be believed that was not run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tree_sitter import Node

from tests.support.powershell import parsed, text, walk

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "scripts/SnapMirror/tests"
# PowerShell mounts the drive / by itself, and looks at each use of a path whether it is still there: it reads the whole
# table of mounts, 8 times for one Test-Path, 48 times for one Get-Command. To a drive that was not mounted by itself it
# does not do so. (Nothing of that is on Windows, and no test removes /.)
QUICK_DRIVE = """
$theDrive = Get-PSDrive -Name '/'
$theMark = $theDrive.GetType().GetProperty('IsAutoMounted', [System.Reflection.BindingFlags] 'Instance, NonPublic')
if ($theMark) { $theMark.SetValue($theDrive, $false) }
"""
_PESTER = (
    QUICK_DRIVE
    + """
$ErrorActionPreference = 'Stop'
Import-Module -Name Pester -MinimumVersion 5.0
$configuration = New-PesterConfiguration
$configuration.Run.Path = $env:PESTER_FILE
$configuration.Run.PassThru = $true
$configuration.Output.Verbosity = 'None'
"""
)
_RUN = """
$result = Invoke-Pester -Configuration $configuration
$seen = @(foreach ($test in $result.Tests) {
    @{ path = @($test.Path); result = "$($test.Result)"; said = ($test.ErrorRecord | Out-String) }
})
$broken = @($result.FailedContainers + $result.FailedBlocks | Where-Object { $_ } | ForEach-Object {
    $_.ErrorRecord | Out-String
})
ConvertTo-Json -InputObject @{ tests = $seen; broken = $broken } -Depth 4 | Set-Content -LiteralPath $env:PESTER_RESULT
"""
# Only what there is, without a run: Pester expands names as it runs, so <Name> is filled in from the case here.
_LOOK = """
$configuration.Run.SkipRun = $true
$seen = @(foreach ($test in (Invoke-Pester -Configuration $configuration).Tests) {
    $name = $test.Name
    foreach ($word in @(if ($test.Data -is [System.Collections.IDictionary]) { $test.Data.Keys })) {
        $name = $name.Replace("<$word>", "$($test.Data[$word])")
    }
    @{ file = "$($test.Block.BlockContainer.Item)"; path = @($test.Path); name = $name }
})
ConvertTo-Json -InputObject $seen -Depth 4 | Set-Content -LiteralPath $env:PESTER_RESULT
"""


def engine() -> str:
    """The path of pwsh. Skips the test without one; fails it in CI."""
    found = shutil.which("pwsh")
    if found is None and os.environ.get("SNAPMIRROR_CI"):
        pytest.fail("there is no pwsh on PATH: PowerShell that was not run is not to be believed")
    if found is None:
        pytest.skip("there is no pwsh on PATH: nothing of the PowerShell module was run")
    return found


def pwsh(
    script: str, *, environment: Mapping[str, str] | None = None, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a script's text, as `pwsh -Command` would."""
    argv = [engine(), "-NoProfile", "-NonInteractive", "-Command", script]
    return subprocess.run(
        argv, env={**pwsh_environment(), **(environment or {})}, input=stdin, cwd=cwd, capture_output=True, check=False
    )


def pwsh_environment() -> dict[str, str]:
    """This process's environment, and what makes short runs of pwsh quicker."""
    # Code that counts its own calls, and memory that is never writable and executable at once, cost more processor than
    # they gain in processes as short as these.
    quick = {"DOTNET_TieredPGO": "0", "DOTNET_EnableWriteXorExecute": "0"}
    return {**os.environ, "POWERSHELL_TELEMETRY_OPTOUT": "1", "NO_COLOR": "1", **quick}


@dataclass(frozen=True)
class PesterTest:
    """An `It` of a file of tests, with the `Describe` and `Context` around it; of one with cases, one case of them."""

    file: Path
    path: tuple[str, ...]
    case: int
    name: str

    def __str__(self) -> str:
        return f"{self.file.name.removesuffix('.Tests.ps1')}: {' > '.join((*self.path[:-1], self.name))}"


def pester_tests() -> list[PesterTest]:
    """Every Pester test of the module, each case as one of its own; without an engine, all cases of an `It` as one."""
    if shutil.which("pwsh") is None:
        return [PesterTest(file, path, 0, path[-1]) for file, path in written_tests()]
    count: Counter[tuple[Path, tuple[str, ...]]] = Counter()
    found = []
    for test in _asked(_LOOK, TESTS):
        key = Path(test["file"]), tuple(test["path"])
        found.append(PesterTest(*key, count[key], test["name"]))
        count[key] += 1
    return found


def written_tests() -> list[tuple[Path, tuple[str, ...]]]:
    """Every `It` as it is written, read without an engine."""
    return [(file, path) for file in sorted(TESTS.glob("*.Tests.ps1")) for path in _paths(parsed(file), ())]


def _paths(node: Node, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    inner = above
    if node.type == "command":
        name = next((text(one) for one in node.children if one.type == "command_name"), "")
        if name in ("Describe", "Context", "It"):
            inner = (*above, text(next(walk(node, "string_literal"))).strip("'\"").replace("''", "'"))
            if name == "It":
                yield inner
                return
    for child in node.children:
        yield from _paths(child, inner)


@cache
def pester(file: Path) -> dict[tuple[str, ...], list[tuple[str, str]]]:
    """Run a file of Pester tests, once a session: the result and the error of each test; several if it has cases."""
    seen = _asked(_RUN, file)
    assert not seen["broken"], "\n".join(seen["broken"])
    found: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for test in seen["tests"]:
        found.setdefault(tuple(test["path"]), []).append((test["result"], test["said"]))
    return found


def _asked(script: str, path: Path) -> Any:
    with tempfile.TemporaryDirectory(prefix="snapmirror-pester-") as folder:
        result = Path(folder) / "result.json"
        told = {"PESTER_FILE": str(path), "PESTER_RESULT": str(result), "TMPDIR": folder}
        done = pwsh(_PESTER + script, environment=told, cwd=Path(folder))
        assert result.exists(), (done.stdout + done.stderr).decode(errors="replace")
        return json.loads(result.read_text(encoding="utf-8"))
