# scripts/first-run.ps1 on doubles of Windows, as Install.Tests.ps1 has them; here the VM has one snapshot of one file.

BeforeAll {
    $script:Old = @{}
    foreach ($name in 'PATH', 'ProgramData', 'OS', 'SystemRoot', 'COMPUTERNAME', 'USERNAME') {
        $script:Old[$name] = [System.Environment]::GetEnvironmentVariable($name)
    }
    $script:FirstRun = Join-Path (Split-Path (Split-Path $PSScriptRoot -Parent) -Parent) 'first-run.ps1'
    # A short PATH: PowerShell looks at every file in every folder of it (see Install.Tests.ps1).
    $script:Tools = Join-Path $TestDrive 'tools'
    $null = New-Item -ItemType Directory -Path $script:Tools
    foreach ($name in 'base64', 'basename', 'cat', 'chmod', 'cut', 'dirname', 'grep', 'iconv', 'mv', 'rm', 'sed', 'sh', 'stat', 'tr') {
        $null = New-Item -ItemType SymbolicLink -Path (Join-Path $script:Tools $name) -Target (Get-Command -Name $name -CommandType Application)[0].Source
    }
    Import-Module -Name (Join-Path $PSScriptRoot 'WindowsDoubles.psm1') -Force -Global -DisableNameChecking
    Import-Module -Name (Join-Path (Split-Path $PSScriptRoot -Parent) 'SnapMirror.psd1') -Force
    if (-not ('SnapMirror.Power' -as [type])) {
        Add-Type -TypeDefinition 'namespace SnapMirror { public static class Power { public static uint SetThreadExecutionState(uint flags) { return flags; } } }'
    }
    Mock -ModuleName 'SnapMirror' -CommandName 'Test-SnapMirrorAdministrator' -MockWith { $true }
    Mock -CommandName 'Write-Host' -MockWith { }

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

    function Invoke-FirstRun {
        # Gives the report as it was written.
        param([hashtable] $Argument = @{ Force = $true })
        $all = @{
            VhdxPath = Join-Path $script:Root 'vm.vhdx'; SharePath = Join-Path $script:Root 'share'; SwitchName = 'External'
            Source = 'root@web1.secret:/etc'; SeedPath = Join-Path $script:Root 'seed'; RestorePath = '/hosts'
            CopyPath = Join-Path $script:Root 'usb'; ReportPath = Join-Path $script:Root 'report'
        }
        $script:Gave = @(& $script:FirstRun @all @Argument -WarningAction SilentlyContinue)
        $script:Code = $LASTEXITCODE
        $script:Text = Get-Content -Path (Join-Path $script:Root 'report/first-run.txt') -Raw -ErrorAction Stop
        $script:Json = Get-Content -Path (Join-Path $script:Root 'report/first-run.json') -Raw -ErrorAction Stop
        ConvertFrom-Json -InputObject $script:Json
    }
}

AfterAll {
    foreach ($name in $script:Old.Keys) {
        [System.Environment]::SetEnvironmentVariable($name, $script:Old[$name])
    }
    Remove-Module -Name 'SnapMirror', 'WindowsDoubles'
}

Describe 'first-run.ps1' {
    BeforeEach {
        New-Host
    }

    It 'tries everything, takes it away again, and writes a report without secrets' {
        $report = Invoke-FirstRun
        @($report.Checks | Where-Object Result -ne 'good' | ConvertTo-Json -Depth 4) | Should -BeNullOrEmpty
        $report.Checks.Name | Should -Be @(
            'the host', 'install with -WhatIf makes nothing', 'install', 'a second install changes nothing', 'status', 'a snapshot'
            'the list', 'Tab', 'a restore', 'the check of all contents', 'the copy of the image', 'uninstall', 'nothing is left'
        )
        $script:Code | Should -Be 0
        $script:Gave.Name | Should -Be $report.Checks.Name
        $report.Versions.PowerShell | Should -Be "$($PSVersionTable.PSVersion) $($PSVersionTable.PSEdition)"
        foreach ($name in $report.Checks.Name) {
            $script:Text | Should -Match "good +$([regex]::Escape($name)) \("
        }
        $world = Get-Double
        foreach ($kind in 'User', 'Share', 'VM', 'Task') {
            $world[$kind].Count | Should -Be 0 -Because $kind
        }
        $script:Json + $script:Text | Should -Not -Match 'web1\.secret|OURPC|jdoe|BEGIN|password=(?!<)'
    }

    It 'ends with a report, and with nothing left, when <What> fails' -ForEach @(
        @{ What = 'install'; Fails = 'install'; Break = 'Start-VM'; Good = 'uninstall', 'nothing is left' }
        @{ What = 'a snapshot'; Fails = 'a snapshot'; Break = 'run'; Good = 'install', 'status', 'uninstall', 'nothing is left' }
        @{ What = 'a restore'; Fails = 'a restore'; Break = 'mount'; Good = 'a snapshot', 'the copy of the image', 'uninstall', 'nothing is left' }
        @{ What = 'uninstall'; Fails = 'uninstall'; Break = 'Remove-VM'; Good = , 'the copy of the image' }
    ) {
        if ($Break -like '*-*') {
            Set-DoubleBreak -Name $Break -Way 'before'
        } else {
            $said = "snapmirror: error: the share of OURPC is full; password=hunter2 for jdoe at web1.secret`n"
            Set-Content -Path (Join-Path $script:Place "vm/fail-$Break") -Value $said
        }
        $report = Invoke-FirstRun
        $script:Code | Should -Be 1
        $failed = @($report.Checks | Where-Object Result -eq 'failed')
        $failed.Name | Should -Be $Fails
        @($failed[0].Errors) | Should -HaveCount 1
        $failed[0].Errors[0].Where | Should -Match 'line \d+'
        $script:Text | Should -Match "failed +$Fails \("
        foreach ($name in $Good) {
            @($report.Checks | Where-Object { $_.Name -eq $name }).Result | Should -Be 'good' -Because $name
        }
        if ($Break -notlike '*-*') {
            $failed[0].Errors[0].Message | Should -Match 'the share of <host> is full; password=<password> for <user> at <server>'
        }
        $script:Json + $script:Text | Should -Not -Match 'hunter2|OURPC|jdoe|web1\.secret'
        if ($What -ne 'uninstall') {
            (Get-Double).VM.Count + (Get-Double).Share.Count | Should -Be 0
        }
    }

    It 'makes nothing without a yes, on a host that has an installation, or into a folder that is there' {
        { Invoke-FirstRun @{ WhatIf = $true } } | Should -Throw '*first-run.txt*' -Because 'there is no report'
        Test-Path (Join-Path $script:Root 'report') | Should -BeFalse
        $null = New-Item -ItemType Directory -Path (Join-Path $script:Root 'share')
        { Invoke-FirstRun } | Should -Throw '*is there already*'
        Remove-Item (Join-Path $script:Root 'share')
        $null = New-Item -ItemType Directory -Path (Join-Path $env:ProgramData 'SnapMirror')
        Set-Content -Path (Join-Path $env:ProgramData 'SnapMirror/installation.json') -Value '{}'
        { Invoke-FirstRun } | Should -Throw '*There is an installation*'
        @((Get-Double).Calls | Where-Object Name -notlike 'Get-*') | Should -BeNullOrEmpty
    }
}
