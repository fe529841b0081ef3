"""The module as it goes to the Gallery: scripts/pack-module.ps1, run."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.pwsh import ROOT, pwsh

PACK = ROOT / "scripts/pack-module.ps1"
MODULE = ROOT / "scripts/SnapMirror"


def test_the_packed_module_has_all_that_users_need_and_no_tests(tmp_path: Path) -> None:
    """Twice, as the second replaces the first; and neither what is no pack, nor unsigned what was to be signed."""
    done = pwsh(f"""
        $ErrorActionPreference = 'Stop'
        $null = & '{PACK}' -Destination 'out put'
        Set-Content -Path 'out put/SnapMirror/old.ps1' -Value 'throw 1'
        $packed = & '{PACK}' 'out put'
        $null = New-Item -ItemType Directory -Path 'other/SnapMirror/mine' -Force
        $signed = @{{ Destination = 'new'; CertificateThumbprint = 'A' * 40 }}
        $refused = foreach ($words in @{{ Destination = 'other' }}, $signed) {{
            try {{ $null = & '{PACK}' @words; 'made' }} catch {{ "$_" }}
        }}
        & '{PACK}' new -WhatIf
        $warned = @()
        $manifest = Test-ModuleManifest -Path 'out put/SnapMirror/SnapMirror.psd1' -WarningVariable warned
        Import-Module -Name $packed.FullName
        $data = $manifest.PrivateData.PSData
        ConvertTo-Json @{{
            commands = @((Get-Command -Module SnapMirror).Name); refused = @($refused); warned = @($warned)
            files = @(Get-ChildItem 'out put/SnapMirror' -Recurse -File | ForEach-Object {{ $_.FullName }})
            notes = $data.ReleaseNotes; tags = @($data.Tags)
            view = @(Get-FormatData -TypeName 'SnapMirror.Status').Count
            help = (Get-Help Get-SnapMirrorStatus).Synopsis
        }}
    """, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    seen = json.loads(done.stdout[done.stdout.index(b"\n{") :])
    packed = tmp_path / "out put/SnapMirror"
    ours = {path.relative_to(MODULE) for path in MODULE.rglob("*") if path.is_file()}
    assert {Path(one).relative_to(packed) for one in seen["files"]} == {
        path for path in ours if path.parts[0] != "tests"
    }
    assert seen["commands"] == sorted(path.stem for path in (MODULE / "Public").glob("*.ps1"))
    assert (seen["warned"], seen["view"], seen["help"].startswith("Tells how old")) == ([], 1, True)
    assert len(seen["notes"]) > 100 and {"Backup", "Windows"} <= set(seen["tags"])
    assert "is no packed module" in seen["refused"][0]
    assert "This PowerShell cannot sign" in seen["refused"][1]
    assert (tmp_path / "other/SnapMirror/mine").is_dir() and not (tmp_path / "new").exists()
