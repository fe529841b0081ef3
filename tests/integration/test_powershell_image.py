"""The commands of the PowerShell module on a store in an image, also while a night has it; and all their examples.

One scene for all of it, which goes on from test to test: an image without encryption, two snapshots, the VM's gate.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snapmirror.config import load
from snapmirror.storage.initialise import initialise
from tests.support import fake_rsync
from tests.support.pwsh import TESTS, engine
from tests.support.runner import Scene
from tests.support.storage import TINY, stack_image
from tests.support.waiting import until
from tests.support.windows_host import MANIFEST, WindowsHost, windows_host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="images and port 22 are root's")

SCRIPT = MANIFEST.parents[1] / "Invoke-SnapMirror.ps1"
# What makes an installation is parsed, and its parameters are bound; Install.Tests.ps1 and others run it. So is what
# only Windows has: schtasks, and a folder at \\10.253.71.2.
ONLY_BOUND = re.compile(
    r"^(Install-|Uninstall-|Test-SnapMirrorHost|Get-SnapMirrorInstallation|schtasks|\.\\(first-run|pack-module))"
    r"|Get-ChildItem"
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsHost]:
    engine()
    folder = tmp_path_factory.mktemp("image")
    (folder / "disk").mkdir()
    scene = Scene(folder / "scene", image=stack_image(folder / "disk", "none", "xfs"), name="web1")
    scene.configure(keep_last=20)
    initialise(load(scene.config), workload=TINY)
    scene.source.joinpath("etc/web").mkdir(parents=True)
    for text in ("first", "second"):
        for name in ("hosts", "web/site", "two words"):
            scene.source.joinpath("etc", name).write_text(text)
        until(lambda: scene.night(expect=None).exit_code == 0, "a second has passed")
    with windows_host(folder / "host", scene) as started:
        for name in ("icacls.exe", "explorer.exe"):
            (started.folder / "vm" / name).symlink_to(TESTS / "programs/double")
        (started.drive("E") / "Backup").mkdir()
        (started.drive("C") / "Keys").mkdir()
        for name in ("id_ed25519", "known_hosts"):
            shutil.copy(started.folder / "Program Data/SnapMirror" / name, started.drive("C") / "Keys")
        yield started
    scene.release()
    shutil.rmtree(folder)


def asked(host: WindowsHost, script: str) -> Any:
    """The last value of a script, on a host with the doubles of Windows' cmdlets and its drives."""
    (host.folder / "vm/gate-runs").unlink(missing_ok=True)  # the everyday key may run a few times a day
    drives = "".join(
        f"$null = New-PSDrive -Name {one} -Scope Global -PSProvider FileSystem -Root '{host.drive(one)}';"
        for one in "CEF"
    )
    return host.json(f"""
        $env:PATH = '{host.folder}/vm:' + $env:PATH; $env:COMPUTERNAME = 'HOST'
        $env:PSModulePath = '{MANIFEST.parents[1]}:' + $env:PSModulePath
        Import-Module -Global -DisableNameChecking '{TESTS}/WindowsDoubles.psm1'
        Reset-Double -Place '{host.folder}/vm'
        $null = New-LocalUser -Name 'snapmirror' -Password (ConvertTo-SecureString -AsPlainText -Force 'x')
        {drives}
        {script}
    """)


def test_every_command_on_an_image(host: WindowsHost) -> None:
    before = len(host.scene.command("list", "--json").json)
    seen = asked(
        host,
        """
        $status = Get-SnapMirrorStatus
        $listed = @(Get-SnapMirrorSnapshot)
        $copied = @(Restore-SnapMirrorItem -Path '/etc/web', '/etc/two words' -Id $listed[-1].Id -Destination 'out')
        $line = "Restore-SnapMirrorItem -Id 2 -Path '/etc/t"
        $tab = (TabExpansion2 -inputScript $line -cursorColumn $line.Length).CompletionMatches.CompletionText
        $plan = Restore-SnapMirrorItem -Path '/etc/hosts' -Id $listed[-1].Id -ToServer -WhatIf
        $pushed = Restore-SnapMirrorItem -Path '/etc/hosts' -Id $listed[-1].Id -ToServer -Force
        $inner = [powershell]::Create()
        $names = "'/etc/web', '/etc/none', '/etc/two words'"
        $line = "Restore-SnapMirrorItem $names -Destination '$PWD/shown'"
        $null = $inner.AddScript("Import-Module SnapMirror; $line").Invoke()
        $shown = @($inner.Streams.Progress | ForEach-Object {
            "$($_.Activity)|$($_.StatusDescription -replace ' .[0-9:]+.$')|$($_.PercentComplete)|$($_.RecordType)"
        })
        $run = Invoke-SnapMirrorRun
        $image = Copy-SnapMirrorImage -Path 'E:\\Backup'
        $code = $LASTEXITCODE
        @{ findings = @($status.Findings); listed = $listed.Count; copied = @($copied.Name); tab = @($tab)
           plan = @($plan.Overwritten, $plan.Restored); pushed = @($pushed.Overwritten, $pushed.Restored)
           run = $run.Result; copy = $image.Result; code = $code; share = @(Get-SmbShare).Count
           checked = @((Test-SnapMirrorSnapshot -Full).Findings); healed = @((Repair-SnapMirrorSnapshot).Findings)
           shown = $shown; errors = @($Error | ForEach-Object { "$_" }) }
        """,
    )
    assert (seen["findings"], seen["errors"]) == ([], [])
    assert (seen["listed"], seen["copied"], seen["tab"]) == (before, ["web", "two words"], ["'/etc/two words'"])
    assert (host.folder / "out/web/site").read_text() == (host.folder / "out/two words").read_text() == "first"
    assert (seen["plan"], seen["pushed"]) == ([1, 0], [1, 1])
    assert host.scene.source.joinpath("etc/hosts").read_text() == "first"
    assert host.scene.source.joinpath("etc/web/site").read_text() == "second", "what was not named"
    assert "Restore-SnapMirrorItem|3 of 3: /etc/two words|66|Processing" in seen["shown"]
    assert seen["shown"][-1].endswith("|Completed"), "although a name has failed"
    assert (seen["run"], seen["copy"], seen["code"], seen["share"]) == ("published", "made", 0, 0)
    assert (host.drive("E") / "Backup/disk.img").stat().st_size == Path(host.scene.image["file"]).stat().st_size
    assert (seen["checked"], seen["healed"]) == ([], [])
    assert host.scene.leftovers() == []


def test_while_a_night_has_the_image(host: WindowsHost) -> None:
    """Names are told, what needs the store is refused as in use, and the night goes on."""
    scene = host.scene
    gate = scene.scratch / "gate"
    gate.touch()
    fake_rsync.install(scene, f'while [ "$phase" = transfer ] && [ -e {gate} ]; do sleep 0.02; done')
    before = [one["id"] for one in scene.command("list", "--json").json]
    scene.source.joinpath("etc/web/new").write_text("new")
    night = scene.start("run", "--json")
    try:
        until(
            lambda: any(one.startswith("transfer ") for one in fake_rsync.calls(scene)), "it transfers", running=night
        )
        seen = asked(
            host,
            """
            $line = 'Restore-SnapMirrorItem -Path /etc/h'
            $tab = (TabExpansion2 -inputScript $line -cursorColumn $line.Length).CompletionMatches.CompletionText
            $running = (Get-SnapMirrorStatus).RunningSince
            $PSDefaultParameterValues = @{ '*-SnapMirror*:ErrorAction' = 'Stop' }
            $refused = foreach ($one in { Restore-SnapMirrorItem -Path /etc/hosts -Destination none },
                { Restore-SnapMirrorItem -Path /etc/hosts -ToServer -Force }, { Copy-SnapMirrorImage 'E:\\Backup' },
                { Invoke-SnapMirrorRun }, { Test-SnapMirrorSnapshot }) {
                try {
                    & $one
                    'went on'
                } catch {
                    "$LASTEXITCODE $($_.FullyQualifiedErrorId)"
                }
            }
            @{ ids = @((Get-SnapMirrorSnapshot).Id); tab = @($tab); running = $null -ne $running
               refused = @($refused); share = @(Get-SmbShare).Count; there = Test-Path none/hosts }
            """,
        )
    finally:
        gate.unlink()
        done = scene.finish(night)
        (scene.programs / "rsync").unlink()
    assert (seen["ids"], seen["tab"], seen["running"]) == (before, ["/etc/hosts"], True)
    assert [one.split(",")[0] for one in seen["refused"]] == ["10 SnapMirror.LOCKED"] * 5
    assert (seen["share"], seen["there"]) == (0, False)
    assert done.exit_code == 0, str(done)
    assert scene.leftovers() == []


def test_a_restore_whose_store_a_night_closes(host: WindowsHost) -> None:
    """Between the mount and the copy: an error, and no file of another snapshot."""
    program = host.folder / "vm/snapmirror"
    text = program.read_text()
    night = f"[ -e {host.folder}/done ] || {{ touch {host.folder}/done; {program} run; }} >/dev/null 2>&1"
    program.write_text(text.replace("exec ", f'case "$1" in mount) "$0".real "$@"; {night}; exit;; esac\nexec '))
    real = host.folder / "vm/snapmirror.real"
    real.write_text(text)
    real.chmod(0o755)
    try:
        seen = asked(
            host,
            """
            $asked = @{ Path = '/etc/hosts'; Id = 2 }
            $failed = try { Restore-SnapMirrorItem @asked -Destination closed } catch { $_.FullyQualifiedErrorId }
            $code = $LASTEXITCODE
            $again = Restore-SnapMirrorItem @asked -Destination again
            @{ failed = @($failed); code = $code; there = Test-Path closed/hosts; again = $again.Name }
            """,
        )
    finally:
        program.write_text(text)
    assert (host.folder / "done").exists()
    assert [one.split(",")[0] for one in seen["failed"]] == ["SnapMirror.TRANSFER"], seen
    assert (seen["code"], seen["there"], seen["again"]) == (12, False, "hosts")
    assert host.scene.leftovers() == []


def test_every_example_as_it_stands(host: WindowsHost) -> None:
    """Of each command, of about_SnapMirror, and of the scripts beside the module."""
    seen = asked(
        host,
        f"""
        $scripts = @((Get-ChildItem '{SCRIPT.parent}' -Filter '*.ps1').FullName)
        $examples = @(foreach ($one in @((Get-Command -Module SnapMirror).Name) + $scripts) {{
            foreach ($example in (Get-Help $one -Full).examples.example) {{ $example.code.Trim() }}
        }})
        $topic = (Get-Help about_SnapMirror | Out-String) -split '\\r?\\n\\s*\\r?\\n'
        $examples += @($topic | Where-Object {{ $_ -match '^ {{8}}' }} | ForEach-Object {{ $_.Trim() }})
        $known = @{{}}
        $seen = foreach ($example in $examples) {{
            $text = $example -replace [regex]::Escape('10.253.71.2'), '{host.address}' -replace "'2026-11-20'", '(Get-Date).AddDays(1)'
            $text = $text -replace '\\.\\\\([\\w-]+\\.ps1)', '& "{SCRIPT.parent}/$1"'
            $block = [scriptblock]::Create($text)
            $wrong = @(foreach ($call in $block.Ast.FindAll({{ $args[0] -is [System.Management.Automation.Language.CommandAst] }}, $true)) {{
                $bound = [System.Management.Automation.Language.StaticParameterBinder]::BindCommand($call)
                foreach ($key in $bound.BindingExceptions.Keys) {{ "$($call): $($bound.BindingExceptions[$key].BindingException.Message)" }}
            }})
            $out = @()
            $ran = $false
            $global:LASTEXITCODE = 0
            if ($example -notmatch '{ONLY_BOUND.pattern}') {{
                $ran = $true
                $before = $Error.Count
                if ($text.Contains('{SCRIPT}')) {{
                    $inner = [powershell]::Create() # (it ends with exit)
                    $null = $inner.AddScript("`$null = New-PSDrive -Name C -Scope Global -PSProvider FileSystem -Root '{host.drive("C")}'; $text")
                    $out = @($inner.Invoke())
                    $wrong += @($inner.Streams.Error | ForEach-Object {{ "$_" }})
                    $inner.Dispose()
                }} else {{
                    $out = @(& $block)
                    $wrong += @($Error | Select-Object -First ($Error.Count - $before) | ForEach-Object {{ "$_" }})
                }}
            }}
            @{{ example = $example; ran = $ran; wrong = @($wrong); code = $LASTEXITCODE; gave = @($out | ForEach-Object {{ $_.PSObject.TypeNames[0] }} | Select-Object -Unique) }}
        }}
        @{{ seen = @($seen) }}
        """,  # noqa: E501
    )["seen"]
    assert len(seen) > 25
    for one in seen:
        assert one["wrong"] == [], json.dumps(one, indent=1)
        assert one["code"] in (0, 3), json.dumps(one, indent=1)
    ran = {one["example"]: one["gave"] for one in seen if one["ran"]}
    assert len(ran) > 20, "those of the installation run on doubles: scripts/SnapMirror/tests/Install.Tests.ps1"
    gave = {kind.removeprefix("Deserialized.") for kinds in ran.values() for kind in kinds}
    assert {
        "SnapMirror.Status", "SnapMirror.Snapshot", "SnapMirror.MirrorRun", "SnapMirror.Copy", "SnapMirror.Restore",
        "SnapMirror.Verification", "System.IO.FileInfo", "System.IO.DirectoryInfo",
    } <= gave  # fmt: skip
    [job] = [kinds for example, kinds in ran.items() if "Start-Job" in example]
    assert job == ["Deserialized.SnapMirror.Verification"], "what a job gives"
    assert sorted(os.listdir(host.drive("C") / "Restored")) == ["hosts", "web"]
    assert Path(host.drive("E") / "Backup/disk.img").exists()
    assert host.scene.leftovers() == []
