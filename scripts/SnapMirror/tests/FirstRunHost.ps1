# The host on which first-run.ps1 is tried: doubles of Windows, and a VM that has one snapshot of one file. For
# FirstRun.Tests.ps1, and for tests/unit/test_first_run.py, which answers its questions. Needs a folder $TestDrive.

# A short PATH: PowerShell looks at every file in every folder of it (see Install.Tests.ps1).
$script:Tools = Join-Path $TestDrive 'tools'
$null = New-Item -ItemType Directory -Path $script:Tools
foreach ($name in 'base64', 'basename', 'cat', 'chmod', 'cut', 'dirname', 'grep', 'iconv', 'mv', 'rm', 'sed', 'sh', 'stat', 'tr') {
    $null = New-Item -ItemType SymbolicLink -Path (Join-Path $script:Tools $name) -Target (Get-Command -Name $name -CommandType Application)[0].Source
}
Import-Module -Name (Join-Path $PSScriptRoot 'WindowsDoubles.psm1') -Force -Global -DisableNameChecking
Import-Module -Name (Join-Path (Split-Path $PSScriptRoot -Parent) 'SnapMirror.psd1') -Force -Global
if (-not ('SnapMirror.Power' -as [type])) {
    Add-Type -TypeDefinition 'namespace SnapMirror { public static class Power { public static uint SetThreadExecutionState(uint flags) { return flags; } } }'
}
& (Get-Module -Name 'SnapMirror') {
    function script:Test-SnapMirrorAdministrator { $true }
}

function New-Host {
    # A Windows with all that first-run.ps1 needs, and a VM that answers.
    $script:Root = Join-Path $TestDrive ([guid]::NewGuid())
    $script:Place = Join-Path $script:Root 'place'
    $env:ProgramData = Join-Path $script:Root 'data'
    $null = New-Item -ItemType Directory -Path $script:Place, $env:ProgramData, (Join-Path $script:Place 'vm'), (Join-Path $script:Root 'seed'), (Join-Path $script:Root 'usb')
    foreach ($name in 'icacls.exe', 'secedit.exe', 'fsutil.exe', 'compact.exe', 'powercfg.exe', 'sftp', 'ssh-keygen', 'vm/ssh') {
        $null = New-Item -ItemType SymbolicLink -Path (Join-Path $script:Place $name) -Target (Join-Path $PSScriptRoot 'programs/double')
    }
    Set-Content -Path (Join-Path $script:Place 'policy') -Value 'SeDenyNetworkLogonRight = Guest'
    Set-Content -Path (Join-Path $script:Place 'grants') -Value $null
    $power = 'STANDBYIDLE 0x00000000 0x00000384', 'HIBERNATEIDLE 0x00000000 0x00000000', 'RTCWAKE 0x00000001 0x00000000'
    Set-Content -Path (Join-Path $script:Place 'power') -Value $power
    Set-Content -Path (Join-Path $script:Place 'vm/image-folder') -Value (Join-Path $script:Root 'share')
    # A VM: what it says to each command is in a file; the double answers the rest.
    $snapshot = @{ mirror = 'try'; id = '2026-11-22T030000Z'; slot = 1; taken_at = '2026-11-22T03:00:00Z'; path = '/s/try/backup.1' }
    $answers = @{
        run    = @{ exit_code = 0; mirrors = @(@{ mirror = 'try'; result = 'published'; snapshot = '2026-11-22T030000Z'; warnings = @() }) }
        list   = @(, $snapshot)
        ls     = @(, @{ path = 'hosts'; type = 'file'; bytes = 7; modified_at = '2026-11-22T03:00:00Z' })
        mount  = @{ path = '/s'; mounted = $true }
        verify = @{ exit_code = 0; mirrors = @(@{ mirror = 'try'; findings = @() }) }
    }
    foreach ($name in $answers.Keys) {
        Set-Content -Path (Join-Path $script:Place "vm/answer-$name") -Value (ConvertTo-Json -InputObject $answers[$name] -Depth 5)
    }
    $ssh = '#!/bin/sh', 'here=$(dirname "$0")/vm', 'for last; do :; done', 'asked=$(printf %s "$last" | base64 -d | cut -d \" -f 2)',
        'if [ -e "$here/fail-$asked" ]; then cat "$here/fail-$asked" >&2; exit 11; fi',
        'if [ -e "$here/answer-$asked" ]; then exec cat "$here/answer-$asked"; fi', 'exec "$here/ssh" "$@"'
    Set-Content -Path (Join-Path $script:Place 'ssh') -Value ($ssh -join "`n")
    chmod 755 (Join-Path $script:Place 'ssh')
    $env:PATH = $script:Place + ':' + $script:Tools
    $env:OS = 'Windows_NT'
    $env:SystemRoot = '/windows'
    $env:COMPUTERNAME = 'OURPC'
    $env:USERNAME = 'jdoe'
    Set-Content -Path (Join-Path $script:Root 'vm.vhdx') -Value 'disk'
    Set-Content -Path (Join-Path $script:Root 'seed/known_hosts') -Value 'web1 ssh-ed25519 AAAA'
    Reset-Double -Place $script:Place
}
