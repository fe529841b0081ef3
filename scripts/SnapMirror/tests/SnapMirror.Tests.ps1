# The module's own tests, for Pester 5: Invoke-Pester -Path scripts/SnapMirror/tests
#
# They change nothing and need no Windows: a program called ssh, first on PATH, stands for the VM. It prints what the
# file 'answer' holds, ends with what 'code' holds, and notes what it was asked in 'asked'.

BeforeAll {
    Import-Module -Name (Join-Path (Split-Path $PSScriptRoot -Parent) 'SnapMirror.psd1') -Force
    $script:OldPath = $env:PATH
    $script:OldData = $env:ProgramData
    $script:Place = Join-Path $TestDrive 'place'
    $env:ProgramData = Join-Path $TestDrive 'data'
    $folder = Join-Path $env:ProgramData 'SnapMirror'
    $null = New-Item -ItemType Directory -Path $script:Place, $folder -Force
    $setting = @{
        VMName = 'snapmirror-test'; User = 'root'; Address = '10.253.71.2'; HostAddress = '10.253.71.1'
        SharePath = $TestDrive; ShareName = 'snapmirror'; Account = 'snapmirror'; TaskName = 'snapmirror-test'
        WireName = 'snapmirror-test'
    }
    ConvertTo-Json $setting | Set-Content -Path (Join-Path $folder 'settings.json')
    if ($env:OS -eq 'Windows_NT') {
        $lines = '@echo off', 'echo %* >> "%~dp0asked"', 'type "%~dp0answer"', 'set /p code=<"%~dp0code"', 'exit /b %code%'
        Set-Content -Path (Join-Path $script:Place 'ssh.cmd') -Value $lines
    } else {
        $lines = '#!/bin/sh', 'here=$(dirname "$0")', 'echo "$*" >>"$here/asked"', 'cat "$here/answer"', 'exit "$(cat "$here/code")"'
        Set-Content -Path (Join-Path $script:Place 'ssh') -Value ($lines -join "`n")
        chmod 755 (Join-Path $script:Place 'ssh')
    }
    $env:PATH = $script:Place + [System.IO.Path]::PathSeparator + $env:PATH

    function Set-Answer {
        param([object] $Json, [int] $Code = 0)
        Set-Content -Path (Join-Path $script:Place 'answer') -Value (ConvertTo-Json -InputObject $Json -Depth 5)
        Set-Content -Path (Join-Path $script:Place 'code') -Value $Code
        Set-Content -Path (Join-Path $script:Place 'asked') -Value $null
    }

    function Get-Asked {
        # The words of each command that was asked for.
        foreach ($line in Get-Content -Path (Join-Path $script:Place 'asked') | Where-Object { $_ -match 'snapmirror (\S+)\s*$' }) {
            $null = $line -match 'snapmirror (\S+)\s*$'
            $json = [System.Text.Encoding]::UTF8.GetString([System.Convert]::FromBase64String($Matches[1]))
            , (ConvertFrom-Json -InputObject $json)
        }
    }
}

AfterAll {
    $env:PATH = $script:OldPath
    $env:ProgramData = $script:OldData
    Remove-Module -Name 'SnapMirror'
}

Describe 'The module' {
    It 'exports what its manifest says' {
        $manifest = Test-ModuleManifest -Path (Get-Module -Name 'SnapMirror').Path.Replace('.psm1', '.psd1')
        (Get-Command -Module 'SnapMirror').Name | Sort-Object | Should -Be ($manifest.ExportedFunctions.Keys | Sort-Object)
    }

    It 'has help with examples for every command' {
        foreach ($command in Get-Command -Module 'SnapMirror') {
            $help = Get-Help -Name $command.Name -Full
            $help.Synopsis | Should -Not -BeNullOrEmpty
            $help.Examples.Example.Count | Should -BeGreaterThan 0
        }
    }

    It 'uses approved verbs' {
        (Get-Command -Module 'SnapMirror').Verb | Sort-Object -Unique | Should -BeIn (Get-Verb).Verb
    }
}

Describe 'Words' {
    It 'arrive whole, whatever is in them' {
        InModuleScope 'SnapMirror' {
            $words = 'find', 'a b', "it's", 'say "x"', ([string][char]0xc4 + 'rger'), '$(x)', ''
            $encoded = ConvertTo-SnapMirrorWord -Word $words
            $encoded | Should -Match '^[A-Za-z0-9+/=]+$'
            $json = [System.Text.Encoding]::UTF8.GetString([System.Convert]::FromBase64String($encoded))
            @(ConvertFrom-Json -InputObject $json | ForEach-Object { $_ }) | Should -Be $words
        }
    }

    It 'are a list when there is only one' {
        InModuleScope 'SnapMirror' { ConvertTo-SnapMirrorWord -Word 'status' | Should -Be 'WyJzdGF0dXMiXQ==' }
    }
}

Describe 'Texts' {
    It 'are read and written where PowerShell stands, as Linux and as secedit have them' {
        Push-Location -LiteralPath $TestDrive
        try {
            InModuleScope 'SnapMirror' {
                $text = "a`r`n" + [char]0xc4 + "`r`n"
                Write-SnapMirrorText -Path 'linux.txt' -Text $text
                Write-SnapMirrorText -Path 'TestDrive:/windows.txt' -Text $text -ForWindows
                [System.IO.File]::ReadAllBytes((Join-Path $TestDrive 'linux.txt')) | Should -Be (97, 10, 0xc3, 0x84, 10)
                [System.IO.File]::ReadAllBytes((Join-Path $TestDrive 'windows.txt')) |
                    Should -Be (0xff, 0xfe, 97, 0, 13, 0, 10, 0, 0xc4, 0, 13, 0, 10, 0)
                Read-SnapMirrorText -Path 'TestDrive:/linux.txt' | Should -BeExactly $text.Replace("`r", '')
                Read-SnapMirrorText -Path 'windows.txt' | Should -BeExactly $text
            }
        } finally {
            Pop-Location
        }
    }
}

Describe 'Get-SnapMirrorStatus' {
    It 'gives objects with dates and spans' {
        $mirror = @{
            mirror = 'web1'; last_success_at = '2026-11-21T03:14:14Z'; last_success_age_seconds = 7200
            last_run_at = $null; result = 'published'; exit_code = 0; snapshot = '2026-11-21T031414Z'; warnings = @()
        }
        Set-Answer -Code 3 -Json @{ exit_code = 3; findings = @('look'); image_bytes = 5; mirrors = @($mirror) }
        $status = Get-SnapMirrorStatus
        $LASTEXITCODE | Should -Be 3
        $status.PSObject.TypeNames[0] | Should -Be 'SnapMirror.Status'
        $status.Findings | Should -Be 'look'
        $status.Mirrors[0].LastSuccess.ToUniversalTime().Hour | Should -Be 3
        $status.Mirrors[0].LastSuccessAge.TotalHours | Should -Be 2
        $status.Mirrors[0].LastRun | Should -BeNullOrEmpty
        @(Get-Asked)[0] | Should -Be @('status', '--json')
    }
}

Describe 'Get-SnapMirrorSnapshot' {
    It 'gives one object for each, also when there is one' {
        Set-Answer -Json @(, @{ mirror = 'web1'; id = '2026-11-21T031414Z'; slot = 1; taken_at = '2026-11-21T03:14:14Z' })
        @(Get-SnapMirrorSnapshot -Mirror 'web1').Count | Should -Be 1
        @(Get-Asked)[0] | Should -Be @('list', '--json', '--mirror', 'web1')
    }

    It 'is an error that names the reason when the store is in use' {
        Set-Answer -Code 10 -Json @()
        { Get-SnapMirrorSnapshot } | Should -Throw -ErrorId 'SnapMirror.LOCKED*'
        $LASTEXITCODE | Should -Be 10
    }
}

Describe 'Invoke-SnapMirrorRun' {
    It 'asks nothing of the VM with -WhatIf' {
        Set-Answer -Json @{}
        Invoke-SnapMirrorRun -WhatIf
        Get-Asked | Should -BeNullOrEmpty
    }

    It 'hands on the exit code, the report and the warnings' {
        $night = @{ mirror = 'web1'; result = 'published'; warnings = @('2 files vanished'); seconds = 1.5; exit_code = 3 }
        Set-Answer -Code 3 -Json @{ exit_code = 3; mirrors = @($night) }
        $done = Invoke-SnapMirrorRun -Mirror 'web1' -Full -WarningVariable told -WarningAction SilentlyContinue
        $LASTEXITCODE | Should -Be 3
        $done.Duration.TotalSeconds | Should -Be 1.5
        $told | Should -Match 'vanished'
        @(Get-Asked)[-1] | Should -Be @('run', '--json', '--full', '--', 'web1')
    }

    It 'is an error when no snapshot was made' {
        Set-Answer -Code 12 -Json @{ exit_code = 12; mirrors = @() }
        Invoke-SnapMirrorRun -ErrorVariable failed -ErrorAction SilentlyContinue
        $LASTEXITCODE | Should -Be 12
        $failed[0].FullyQualifiedErrorId | Should -BeLike 'SnapMirror.TRANSFER*'
    }
}

Describe 'Keys' {
    BeforeAll {
        $script:Root = Join-Path $env:ProgramData 'SnapMirror'
        $script:Line = 'restrict,command="/usr/bin/python3 -I /usr/local/lib/snapmirror-vm/gate.py{0}" {1}'
        foreach ($name in 'smb.cred', 'image.key', 'id_server', 'ssh_host_ed25519_key') {
            Set-Content -Path (Join-Path $script:Root $name) -Value "secret of $name"
        }
        Set-Content -Path (Join-Path $script:Root 'id_ed25519.pub') -Value 'ssh-ed25519 AAAAhost host'
        Set-Content -Path (Join-Path $script:Root 'admin.pub') -Value 'ssh-ed25519 AAAAadmin me@home'
        $script:Seed = {
            param([hashtable] $Argument = @{})
            $null = InModuleScope 'SnapMirror' -Parameters @{ Argument = $Argument } {
                param($Argument)
                New-SnapMirrorSeed -Template @{} @Argument -WarningAction SilentlyContinue
            }
            Get-Content -Path (Join-Path $script:Root 'seed/authorized_keys')
        }
    }

    It 'let this host in for every day, and nobody else' {
        & $script:Seed | Should -Be ($script:Line -f '', 'ssh-ed25519 AAAAhost host')
    }

    It 'let the administrator in for the rest when that is asked for, until it is another' {
        $admin = @{ AdminKeyPath = Join-Path $script:Root 'admin.pub' }
        $both = ($script:Line -f '', 'ssh-ed25519 AAAAhost host'), ($script:Line -f ' --admin', 'ssh-ed25519 AAAAadmin me@home')
        & $script:Seed $admin | Should -Be $both
        & $script:Seed | Sort-Object | Should -Be ($both | Sort-Object)
        Set-Content -Path (Join-Path $script:Root 'admin.pub') -Value 'ssh-ed25519 AAAAother me@home'
        & $script:Seed $admin | Should -Be ($both -replace 'AAAAadmin', 'AAAAother')
    }

    It 'are public ones where they are shown to the VM' {
        Set-Content -Path (Join-Path $script:Root 'admin') -Value '-----BEGIN OPENSSH PRIVATE KEY-----', 'x'
        { & $script:Seed @{ AdminKeyPath = Join-Path $script:Root 'admin' } } | Should -Throw '*no public key*'
    }

    It 'of the administrator are used where one is named' {
        Set-Answer -Json @{ exit_code = 0; mirrors = @() }
        Invoke-SnapMirrorRun -AcceptChanges -KeyFile '/keys/id_admin'
        Invoke-SnapMirrorRun
        $asked = @(Get-Content -Path (Join-Path $script:Place 'asked') | Where-Object { $_ -match 'snapmirror \S+\s*$' })
        $asked.Count | Should -Be 2
        $asked[0] | Should -Match '-i /keys/id_admin .*BatchMode=no'
        $asked[1] | Should -Match '-i \S+id_ed25519 .*BatchMode=yes'
        @(Get-Asked)[0] | Should -Be @('run', '--json', '--accept-changes')
    }
}

Describe 'Secrets' -Tag 'Doubles' {
    # Hyper-V and icacls are doubles, so first-run.ps1 leaves these out: a folder stands for the seed disk, a program that does nothing for icacls.
    BeforeAll {
        $script:OldHome = $env:ProgramData
        $icacls = Join-Path $script:Place $(if ($env:OS -eq 'Windows_NT') { 'icacls.exe.cmd' } else { 'icacls.exe' })
        Set-Content -Path $icacls -Value $(if ($env:OS -eq 'Windows_NT') { '@exit /b 0' } else { '#!/bin/sh' })
        if ($env:OS -ne 'Windows_NT') {
            chmod 755 $icacls
        }
        function New-TestHome {
            # A host of its own, with what New-SnapMirrorAccount has made.
            $env:ProgramData = Join-Path $TestDrive ([guid]::NewGuid())
            $script:Root = Join-Path $env:ProgramData 'SnapMirror'
            $script:Share = Join-Path $env:ProgramData 'share'
            $script:Given = Join-Path $env:ProgramData 'given'
            $null = New-Item -ItemType Directory -Path $script:Root, $script:Share, $script:Given
            Set-Content -Path (Join-Path $script:Root 'smb.cred') -Value 'password=x'
            Set-Content -Path (Join-Path $script:Given 'known_hosts') -Value 'web1 ssh-ed25519 AAAA'
        }
        function Invoke-Private {
            # A function of the module that is not exported.
            param([string] $Name, [hashtable] $Argument = @{})
            InModuleScope 'SnapMirror' -Parameters @{ Name = $Name; Argument = $Argument } {
                param($Name, $Argument)
                & $Name @Argument
            }
        }
        function Install-Key {
            # The steps of Install-SnapMirror that handle keys; gives the warnings.
            Invoke-Private 'New-SnapMirrorKey' @{ Address = '10.253.71.2'; SharePath = $script:Share; SeedPath = $script:Given } 3>&1
            Invoke-Private 'New-SnapMirrorSeed' @{ Template = @{}; SeedPath = $script:Given } 3>&1
        }
        function Get-Place {
            # Where below the host's folder there is a file of that name.
            param([string] $Name)
            @(Get-ChildItem -Path $script:Root -Recurse -File -Filter $Name).Count
        }
    }

    AfterAll {
        $env:ProgramData = $script:OldHome
    }

    BeforeEach {
        New-TestHome
    }

    It 'lie in one place each' {
        Install-Key | Should -BeNullOrEmpty
        foreach ($name in 'image.key', 'smb.cred', 'id_server', 'ssh_host_ed25519_key') {
            Get-Place $name | Should -Be 1 -Because $name
        }
        $seed = @(Get-ChildItem -Path (Join-Path $script:Root 'seed') -Recurse -File).Name | Sort-Object
        $seed | Should -Be @('10-windows.network', 'appliance.toml', 'authorized_keys', 'known_hosts', 'snapmirror.toml')
    }

    It 'that are given are taken over, and those that are left behind are named' {
        Set-Content -Path (Join-Path $script:Given 'image.key') -Value 'mine' -NoNewline
        $none = if ($PSVersionTable.PSVersion -ge [version]'7.3') { '' } else { '""' }
        ssh-keygen -q -t ed25519 -N $none -f (Join-Path $script:Given 'id_ed25519')
        $told = Install-Key
        foreach ($name in 'image.key', 'id_ed25519') {
            "$told" | Should -Match ([regex]::Escape((Join-Path $script:Given $name)))
        }
        Get-Place 'image.key' | Should -Be 1
        Get-Content -Path (Join-Path $script:Root 'image.key') -Raw | Should -Be 'mine'
        $same = Join-Path $script:Given 'id_ed25519'
        Get-Content -Path (Join-Path $script:Root 'id_server') -Raw | Should -Be (Get-Content -Path $same -Raw)
        $public = (Get-Content -Path "$same.pub" -Raw) -replace '^(\S+ \S+).*\s*$', '$1'
        Get-Content -Path (Join-Path $script:Root 'id_server.pub') -Raw | Should -Match ([regex]::Escape($public))
    }

    It 'of a version that kept them twice are wiped' {
        Install-Key
        $seed = Join-Path $script:Root 'seed'
        Copy-Item -Path (Join-Path $script:Root 'image.key') -Destination $seed
        Copy-Item -Path (Join-Path $script:Root 'id_server') -Destination (Join-Path $seed 'id_ed25519')
        Set-Content -Path (Join-Path $seed 'smb.cred') -Value 'old'
        $key = Get-Content -Path (Join-Path $script:Root 'image.key') -Raw
        Install-Key
        Get-ChildItem -Path $seed -File | Where-Object { $_.Name -in 'image.key', 'id_ed25519', 'smb.cred' } | Should -BeNullOrEmpty
        Get-Content -Path (Join-Path $script:Root 'image.key') -Raw | Should -Be $key
    }

    It 'are not made anew for an image that is there' {
        Set-Content -Path (Join-Path $script:Share 'snapmirror.img') -Value ''
        "$(Install-Key)" | Should -Match 'image.key is not here'
        Get-Place 'image.key' | Should -Be 0
    }

    It 'are on the seed disk, which is wiped' {
        Install-Key
        $null = New-Item -ItemType Directory -Path (Join-Path $script:Root 'VM'), (Join-Path $script:Root 'disk')
        $null = New-PSDrive -Name 'X' -PSProvider FileSystem -Root (Join-Path $script:Root 'disk') -Scope Global
        function Global:New-VHD { Set-Content -Path $args[1] -Value ('secret' * 1000) }
        function Global:Mount-VHD { 'disk' }
        function Global:Get-Disk { process { New-Object -TypeName psobject -Property @{ Number = 1 } } }
        function Global:Initialize-Disk { }
        function Global:New-Partition { New-Object -TypeName psobject -Property @{ DriveLetter = 'X' } }
        function Global:Format-Volume { }
        function Global:Dismount-VHD { }
        function Global:Get-VMHardDiskDrive { }
        function Global:Remove-VMHardDiskDrive { }
        $disk = Join-Path $script:Root 'VM/seed.vhdx'
        $kept = "$disk.link"
        try {
            Invoke-Private 'New-SnapMirrorSeedDisk' @{ Path = $disk }
            $files = @(Get-ChildItem -Path 'X:\' -Recurse -File).Name | Sort-Object
            $null = New-Item -ItemType HardLink -Path $kept -Target $disk
            Invoke-Private 'Remove-SnapMirrorSeedDisk' @{ VMName = 'snapmirror' }
        } finally {
            Remove-PSDrive -Name 'X' -Scope Global
            Get-ChildItem -Path 'Function:\*-VHD', 'Function:\*-Disk', 'Function:\*-VMHardDiskDrive' | Remove-Item
            Remove-Item -Path 'Function:\New-Partition', 'Function:\Format-Volume'
        }
        $files | Should -Contain 'image.key'
        $files | Should -Contain 'id_ed25519'
        $files | Should -Contain 'snapmirror.toml'
        Test-Path -Path $disk | Should -BeFalse
        (Get-Item -Path $kept).Length | Should -BeGreaterThan 6000
        Get-Content -Path $kept -Raw | Should -Match '^\0+$'
    }
}

Describe 'Restore-SnapMirrorItem' {
    It 'only asks what it would write with -WhatIf' {
        Set-Answer -Json @{ mirror = 'web1'; snapshot = '2026-11-21T031414Z'; to = 'root@web1:/'; new = 1; overwritten = 0; attributes = 0 }
        $plan = Restore-SnapMirrorItem -Path '/etc/hosts' -Id '2026-11-21T031414Z' -ToServer -WhatIf
        $plan.New | Should -Be 1
        @(Get-Asked).Count | Should -Be 1
        @(Get-Asked)[0] | Should -Be @('restore', '--json', '--push', '--dry-run', '--', '2026-11-21T031414Z', '/etc/hosts')
    }

    It 'writes with -Force' {
        Set-Answer -Json @{ mirror = 'web1'; snapshot = 'x'; to = 'root@web1:/'; new = 1; overwritten = 0; attributes = 0; restored = 1 }
        (Restore-SnapMirrorItem -Path '/etc/hosts' -ToServer -Force).Restored | Should -Be 1
        @(Get-Asked)[1] | Should -Contain '--yes'
    }
}

Describe 'Test-SnapMirrorSnapshot' {
    It 'asks for one snapshot, and is an error when there is damage' {
        $finding = @{ kind = 'content'; path = 'etc/hosts'; detail = 'other'; snapshots = @('2026-11-21T031414Z') }
        Set-Answer -Code 14 -Json @{ exit_code = 14; mirrors = @(@{ mirror = 'web1'; names = 7; findings = @($finding) }) }
        $snapshot = New-Object -TypeName psobject -Property @{ Mirror = 'web1'; Id = '2026-11-21T031414Z' }
        $seen = $snapshot | Test-SnapMirrorSnapshot -Full -ErrorVariable failed -ErrorAction SilentlyContinue
        $LASTEXITCODE | Should -Be 14
        $failed[0].FullyQualifiedErrorId | Should -BeLike 'SnapMirror.DAMAGE*'
        $seen.PSObject.TypeNames[0] | Should -Be 'SnapMirror.Verification'
        $seen.Findings[0].PSObject.TypeNames[0] | Should -Be 'SnapMirror.Finding'
        $seen.Findings[0].Path | Should -Be 'etc/hosts'
        @(Get-Asked)[0] | Should -Be @('verify', '--json', '--full', '--mirror', 'web1', '--', '2026-11-21T031414Z')
    }
}

Describe 'Repair-SnapMirrorSnapshot' {
    It 'heals what the nights have found' {
        Set-Answer -Code 3 -Json @{ exit_code = 3; mirrors = @(@{ mirror = 'web1'; findings = @() }) }
        (Repair-SnapMirrorSnapshot).Mirror | Should -Be 'web1'
        $LASTEXITCODE | Should -Be 3
        @(Get-Asked)[0] | Should -Be @('verify', '--json', '--found', '--heal', '--')
    }

    It 'asks nothing of the VM with -WhatIf' {
        Set-Answer -Json @{}
        Repair-SnapMirrorSnapshot -All -WhatIf
        Get-Asked | Should -BeNullOrEmpty
    }
}

Describe 'Show-SnapMirrorHistory' {
    It 'knows where it is' {
        Show-SnapMirrorHistory -PassThru | Should -BeLike '\\10.253.71.2\*'
    }
}

Describe 'Contract' {
    It 'has a name for every success' {
        InModuleScope 'SnapMirror' {
            Test-SnapMirrorSuccess -ExitCode 0 | Should -BeTrue
            Test-SnapMirrorSuccess -ExitCode 3 | Should -BeTrue
            Test-SnapMirrorSuccess -ExitCode 11 | Should -BeFalse
            Test-SnapMirrorSuccess -ExitCode 255 | Should -BeFalse
        }
    }
}
