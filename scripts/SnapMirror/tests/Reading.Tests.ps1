# The commands that read history and run nights, for Pester 5: what they do with what the VM answers.
#
# They change nothing and need no Windows: a program called ssh, first on PATH, stands for the VM, as in
# SnapMirror.Tests.ps1; tests/integration/test_powershell_module.py asks a real one.

BeforeAll {
    Import-Module -Name (Join-Path (Split-Path $PSScriptRoot -Parent) 'SnapMirror.psd1') -Force
    $script:Old = @{ PATH = $env:PATH; ProgramData = $env:ProgramData }
    $script:Place = Join-Path $TestDrive 'place'
    $env:ProgramData = Join-Path $TestDrive 'data'
    $folder = Join-Path $env:ProgramData 'SnapMirror'
    $null = New-Item -ItemType Directory -Path $script:Place, $folder -Force
    $script:SettingPath = Join-Path $folder 'settings.json'
    $script:Setting = ConvertTo-Json @{ VMName = 'snapmirror-test'; User = 'root'; Address = '10.253.71.2'; HostAddress = '10.253.71.1'
        SharePath = "$TestDrive"; ShareName = 'snapmirror'; Account = 'snapmirror'; TaskName = 'snapmirror-test'; WireName = 'x' }
    $lines = '#!/bin/sh', 'here=$(dirname "$0")', 'echo "$*" >>"$here/asked"', 'cat "$here/said" >&2', 'cat "$here/answer"', 'exit "$(cat "$here/code")"'
    Set-Content -Path (Join-Path $script:Place 'ssh') -Value ($lines -join "`n")
    Set-Content -Path (Join-Path $script:Place 'eventcreate.exe') -Value "#!/bin/sh`nprintf '%s\n' `"`$@`" >`"`$(dirname `"`$0`")/event`""
    chmod 755 (Join-Path $script:Place 'ssh') (Join-Path $script:Place 'eventcreate.exe')
    $env:PATH = $script:Place + [System.IO.Path]::PathSeparator + $env:PATH

    function Set-Answer {
        param([object] $Json, [int] $Code = 0, [string] $Said = '')
        Set-Content -Path (Join-Path $script:Place 'answer') -Value $(if ($Json -is [string]) { $Json } else { ConvertTo-Json -InputObject $Json -Depth 5 })
        Set-Content -Path (Join-Path $script:Place 'code') -Value $Code
        Set-Content -Path (Join-Path $script:Place 'said') -Value $Said -NoNewline
        Set-Content -Path (Join-Path $script:Place 'asked') -Value $null
        Set-Content -Path $script:SettingPath -Value $script:Setting
    }

    function Get-Asked {
        # The words of each command that was asked for, with blanks between them.
        Get-Content -Path (Join-Path $script:Place 'asked') | Where-Object { $_ -match 'snapmirror (\S+)\s*$' } | ForEach-Object {
            $null = $_ -match 'snapmirror (\S+)\s*$'
            $json = [System.Text.Encoding]::UTF8.GetString([System.Convert]::FromBase64String($Matches[1]))
            @(ConvertFrom-Json -InputObject $json) -join ' '
        }
    }

    function Get-Listed {
        # Snapshots as list gives them.
        foreach ($one in 'web2 2026-11-22T030000Z 1', 'web2 2026-11-21T030000Z 2', 'web1 2026-11-22T040000Z 1', 'web1 2026-11-21T040000Z 2', 'web1 2026-11-20T040000Z 3') {
            $mirror, $id, $slot = $one -split ' '
            @{ mirror = $mirror; id = $id; slot = [int]$slot; taken_at = '2026-11-21T03:14:14Z'; path = "/s/$mirror/backup.$slot"; pinned = $false }
        }
    }
}

AfterAll {
    $env:PATH = $script:Old.PATH
    $env:ProgramData = $script:Old.ProgramData
    Remove-Module -Name 'SnapMirror'
}

Describe 'An error' {
    It 'names the reason that snapmirror gives' {
        Set-Answer -Code 11 -Json @{ exit_code = 11; mirrors = @() } -Said "snapmirror: error: the share is full`n  hint: x`n"
        Invoke-SnapMirrorRun -ErrorVariable failed -ErrorAction SilentlyContinue
        @($failed).Count | Should -Be 1
        "$failed" | Should -Match 'STORAGE.*the share is full'
    }

    It 'is never made of what is said on stderr' {
        Set-Answer -Json @{ exit_code = 0; findings = @(); mirrors = @() } -Said "a word`n"
        $ErrorActionPreference = 'Stop'
        $all = @(Get-SnapMirrorStatus 2>&1)
        $all.Count | Should -Be 1
        $all[0].PSObject.TypeNames[0] | Should -Be 'SnapMirror.Status'
    }

    It 'leaves nothing behind where all went well' {
        Set-Answer -Json @{ exit_code = 0; mirrors = @() }
        Invoke-SnapMirrorRun -ErrorVariable failed
        $failed | Should -BeNullOrEmpty
    }

    It 'ends a command without settings, whatever the caller does with errors' {
        Set-Answer -Json @()
        foreach ($content in '', '{ "VMName": "sna') {
            Set-Content -Path $script:SettingPath -Value $content
            foreach ($command in 'Invoke-SnapMirrorRun', 'Get-SnapMirrorStatus', 'Get-SnapMirrorSnapshot', 'Test-SnapMirrorSnapshot', 'Repair-SnapMirrorSnapshot') {
                { & $command -ErrorAction SilentlyContinue } | Should -Throw -Because $command
            }
            { Restore-SnapMirrorItem -Path '/x' -Destination $TestDrive -ErrorAction SilentlyContinue } | Should -Throw
        }
        Get-Asked | Should -BeNullOrEmpty
    }
}

Describe 'Get-SnapMirrorStatus' {
    It 'tells what Windows knows, and leaves no errors of what it does not' {
        Set-Answer -Json @{ exit_code = 0; findings = @(); mirrors = @() }
        function Global:Get-VM { New-Object -TypeName psobject -Property @{ State = 'Running' } }
        function Global:Get-Volume { [CmdletBinding()] param($FilePath) Write-Error "no volume $FilePath" }
        function Global:Get-ScheduledTaskInfo { [CmdletBinding()] param($TaskName) throw "no task $TaskName" }
        $global:Error.Clear()
        try {
            $status = Get-SnapMirrorStatus
        } finally {
            Remove-Item -Path 'Function:\Get-VM', 'Function:\Get-Volume', 'Function:\Get-ScheduledTaskInfo'
        }
        $status.VMState | Should -Be 'Running'
        $status.NextRun | Should -BeNullOrEmpty
        $status.VolumeFreeBytes | Should -BeNullOrEmpty
        $global:Error.Count | Should -Be 0
    }
}

Describe 'A restore to a folder' {
    It 'ends with the first error' {
        Set-Answer -Code 10 -Json @()
        foreach ($how in 'SilentlyContinue', 'Continue') {
            { Restore-SnapMirrorItem -Path '/x' -Destination $TestDrive -ErrorAction $how } | Should -Throw -ErrorId 'SnapMirror.LOCKED*'
        }
        @(Get-Asked) | Should -Be 'list --json', 'list --json'
    }

    It 'takes ids as the command line does' {
        Set-Answer -Json @(Get-Listed)
        $meant = InModuleScope 'SnapMirror' {
            foreach ($id in '2', 'backup.3', 'newest', 'latest', '', '2026-11-20', '2026-11-20T04:00', '2026-11-20t040000z') {
                $found = Get-SnapMirrorSnapshot | Where-Object { $_.Mirror -eq 'web1' }
                Mock Get-SnapMirrorSnapshot { $found }
                (Select-SnapMirrorSnapshot -Id $id -Mirror 'web1').Slot
            }
        }
        $meant | Should -Be 2, 3, 1, 1, 1, 3, 3, 3
    }

    It 'says what is wrong with an id' {
        Set-Answer -Json @(Get-Listed)
        InModuleScope 'SnapMirror' {
            { Select-SnapMirrorSnapshot -Id '2025' } | Should -Throw -ErrorId 'SnapMirror.USAGE*' -ExpectedMessage '*no snapshot 2025*'
            { Select-SnapMirrorSnapshot -Id 'newest' } | Should -Throw '*several mirrors*web2, web1*-Mirror*'
            { Select-SnapMirrorSnapshot -Id '2026-11' -Mirror 'web1' } | Should -Throw
            $LASTEXITCODE | Should -Be 2
        }
    }
}

Describe 'Objects' {
    It 'have their properties in the order of the contract' {
        Set-Answer -Json @(Get-Listed)
        $names = @(Get-SnapMirrorSnapshot)[0].PSObject.Properties.Name
        $names | Should -Be 'Mirror', 'Id', 'Slot', 'Taken', 'Path', 'Files', 'Bytes', 'NewBytes', 'Pinned', 'Degraded', 'Warnings'
    }

    It 'stand in the order of the server, also when only the newest are wanted' {
        Set-Answer -Json @(Get-Listed)
        (Get-SnapMirrorSnapshot).Mirror | Should -Be 'web2', 'web2', 'web1', 'web1', 'web1'
        (Get-SnapMirrorSnapshot -Newest 1).Id | Should -Be '2026-11-22T030000Z', '2026-11-22T040000Z'
    }

    It 'need the contract once' {
        InModuleScope 'SnapMirror' {
            [object]::ReferenceEquals((Get-SnapMirrorContract), (Get-SnapMirrorContract)) | Should -BeTrue
        }
    }

    It 'keep texts that look like dates' {
        $finding = '{"kind": "content", "path": "2026-11-21T03:14:14Z", "detail": "/Date(1)/", "snapshots": ["2026-11-21T03:14:14+02:00"]}'
        Set-Answer -Code 14 -Json ('{"exit_code": 14, "mirrors": [{"mirror": "web1", "findings": [' + $finding + ']}]}')
        $seen = (Test-SnapMirrorSnapshot -ErrorAction SilentlyContinue).Findings[0]
        $seen.Path | Should -BeExactly '2026-11-21T03:14:14Z'
        $seen.Path | Should -BeOfType [string]
        $seen.Detail | Should -BeExactly '/Date(1)/'
        $seen.Snapshots | Should -BeExactly '2026-11-21T03:14:14+02:00'
    }

    It 'show sizes in units that fit, in 80 columns' {
        $one = @{ mirror = 'web1'; id = '2026-11-22T040000Z'; slot = 1; taken_at = '2026-11-21T03:14:14Z'; files = 1234567; bytes = 176; new_bytes = 5000000000; pinned = $true }
        Set-Answer -Json @(, $one)
        $shown = Get-SnapMirrorSnapshot | Out-String -Width 80
        $shown | Should -Match '176 B'
        $shown | Should -Match '4[.,]7 GiB'
        $shown | Should -Match 'Pinned'
        @($shown -split "`n" | Where-Object { $_ -match '2026-11-22T040000Z.*True' }).Count | Should -Be 1
    }
}

Describe 'What is piped' {
    It 'is one run for each mirror' {
        Set-Answer -Json @(Get-Listed)
        $snapshots = @(Get-SnapMirrorSnapshot)
        Set-Answer -Json @{ exit_code = 0; mirrors = @() }
        $snapshots | Invoke-SnapMirrorRun
        Get-Asked | Should -Be 'run --json -- web2 web1'
        Set-Answer -Json @{ exit_code = 0; mirrors = @() }
        $snapshots | Repair-SnapMirrorSnapshot
        @(Get-Asked) | Should -Be 'verify --json --found --heal --mirror web2 --', 'verify --json --found --heal --mirror web1 --'
        Set-Answer -Json @{ exit_code = 0; mirrors = @() }
        $snapshots | Select-Object -First 3 | Test-SnapMirrorSnapshot
        @(Get-Asked) | Should -Be 'verify --json --mirror web2 -- 2026-11-22T030000Z 2026-11-21T030000Z', 'verify --json --mirror web1 -- 2026-11-22T040000Z'
    }

    It 'is nothing when nothing comes' {
        Set-Answer -Json @{ exit_code = 0; mirrors = @() }
        foreach ($command in 'Invoke-SnapMirrorRun', 'Repair-SnapMirrorSnapshot', 'Test-SnapMirrorSnapshot') {
            @() | & $command
        }
        Get-Asked | Should -BeNullOrEmpty
    }

    It 'stands behind the options' {
        Set-Answer -Json @{ exit_code = 0; mirrors = @() }
        Invoke-SnapMirrorRun -Mirror '--full'
        Get-Asked | Should -Be 'run --json -- --full'
    }
}

Describe 'A command' {
    BeforeDiscovery {
        $module = Split-Path $PSScriptRoot -Parent
        $script:Told = @(Get-ChildItem -Path (Join-Path $module 'Public') | ForEach-Object { @{ Name = $_.BaseName } }) +
            @(Get-ChildItem -Path (Split-Path $module -Parent) -Filter '*.ps1' | ForEach-Object { @{ Name = $_.FullName } })
    }

    It 'is a function of the file of its name, has an approved verb, and asks where it changes something' {
        $module = Split-Path $PSScriptRoot -Parent
        $files = Get-ChildItem -Path (Join-Path $module 'Private'), (Join-Path $module 'Public')
        $functions = InModuleScope 'SnapMirror' { Get-ChildItem -Path 'Function:' }
        $named = "^($((Get-Verb).Verb -join '|'))-SnapMirror[A-Za-z]*$"
        $wrong = foreach ($file in $files) {
            $function = $functions | Where-Object { $_.Name -ceq $file.BaseName }
            if (-not $function -or -not $function.CmdletBinding -or $function.Name -cnotmatch $named) {
                "$($file.Name) holds no such function, or its verb is not approved"
                continue
            }
            $asks = $function.Parameters.ContainsKey('WhatIf')
            if ($asks -and $function.Name -ne 'Install-SnapMirror' -and $function.Definition -notmatch '\.ShouldProcess\(') { # (whose steps ask)
                "$function never asks"
            }
            if ($file.Directory.Name -eq 'Public' -and $asks -ne ($function.Name -match '^(Install|Uninstall|Invoke|Repair|Restore|Copy)-')) {
                "$function should ask, or should not"
            }
        }
        $wrong | Should -BeNullOrEmpty
        @($files).Count | Should -BeGreaterThan 80
    }

    It 'that takes away or writes over asks as if it were serious' {
        foreach ($name in 'Restore-SnapMirrorItem', 'Uninstall-SnapMirror') {
            (New-Object -TypeName System.Management.Automation.CommandMetadata -ArgumentList (Get-Command $name)).ConfirmImpact | Should -Be 'High' -Because $name
        }
    }

    It 'is told of in full: <Name>' -ForEach $script:Told {
        $help = Get-Help -Name $Name -Full
        $help.Synopsis.Trim() | Should -Match '\.$'
        "$($help.description.Text)".Length | Should -BeGreaterThan $help.Synopsis.Length
        $common = [System.Management.Automation.Cmdlet]::CommonParameters + [System.Management.Automation.Cmdlet]::OptionalCommonParameters
        $own = @((Get-Command -Name $Name).Parameters.Keys | Where-Object { $common -notcontains $_ })
        $block = (Get-Command -Name $Name).ScriptBlock.Ast.GetHelpContent()
        @($block.Parameters.Keys) | Sort-Object | Should -Be @($own | ForEach-Object { $_.ToUpperInvariant() } | Sort-Object) -Because 'each, and no other'
        @($block.Parameters.Values | Where-Object { $_ -match '^\s*$' }) | Should -BeNullOrEmpty
        $short = (Split-Path $Name -Leaf) -replace '\.ps1$'
        @($block.Examples).Count | Should -BeGreaterThan 0
        foreach ($example in $block.Examples) {
            $example | Should -Match ([regex]::Escape($short))
            $example | Should -Match '\n\s*\n' -Because 'what it does stands below it'
        }
        foreach ($link in $block.Links) {
            Get-Command -Module 'SnapMirror' -Name $link | Should -Not -BeNullOrEmpty
        }
    }
}

Describe 'Help' {
    It 'has a topic that names every command' {
        $topic = Get-Help -Name 'about_SnapMirror' | Out-String -Width 200
        foreach ($command in Get-Command -Module 'SnapMirror') {
            $topic | Should -Match "$($command.Name) {2,}" -Because $command.Name
        }
    }

    It 'shows jobs as they work' {
        Set-Answer -Json @{ exit_code = 0; mirrors = @(@{ mirror = 'web1'; findings = @() }) }
        $job = Start-Job -ScriptBlock { Import-Module $args[0]; Test-SnapMirrorSnapshot -Full } -ArgumentList (Get-Module -Name 'SnapMirror').Path
        (Receive-Job -Job $job -Wait -AutoRemoveJob).Mirror | Should -Be 'web1'
    }
}

Describe 'Tab' {
    It 'completes mirrors and ids' {
        Set-Answer -Json @{ exit_code = 0; mirrors = @(@{ mirror = 'web1' }, @{ mirror = 'db' }) }
        $line = 'Invoke-SnapMirrorRun -Mirror w'
        (TabExpansion2 -inputScript $line -cursorColumn $line.Length).CompletionMatches.CompletionText | Should -Be 'web1'
        Set-Answer -Json @(Get-Listed)
        $line = 'Restore-SnapMirrorItem -Mirror web1 -Id 2026-11-20'
        (TabExpansion2 -inputScript $line -cursorColumn $line.Length).CompletionMatches.CompletionText | Should -Be '2026-11-20T040000Z'
        @(Get-Asked)[0] | Should -Be 'list --json --mirror web1'
    }
}

Describe 'Tab after -Path' {
    BeforeAll {
        function Get-Completion {
            # What Tab gives for a line, where a folder of the snapshot holds these names; folders have a slash.
            param([string] $Line, [string[]] $Name, [string] $Folder = 'etc/')
            $listed = foreach ($one in $Name) {
                @{ path = $Folder + $one.TrimEnd('/'); type = $(if ($one.EndsWith('/')) { 'folder' } else { 'file' }); bytes = 7; modified_at = '2026-11-21T03:14:14Z' }
            }
            Set-Answer -Json @($listed)
            @((TabExpansion2 -inputScript $Line -cursorColumn $Line.Length).CompletionMatches)
        }
        $script:Hard = 'plain', 'two words', "it's", 'say "x"', '$(id)', 'star*', "$([char]0xc4)rger", "$([char]0x2019)", 'a;b', 'a,b', '@a', '`b', "smile$([char]::ConvertFromUtf32(0x1f600))"
    }

    It 'gives words that PowerShell takes for the name, and nothing else' {
        $found = Get-Completion -Line 'Restore-SnapMirrorItem -Path /etc/' -Name ($script:Hard + 'inner/')
        $found.ListItemText | Should -BeExactly ($script:Hard + 'inner')
        $found[0].CompletionText | Should -BeExactly '/etc/plain' -Because 'it needs no quotes'
        $found[-1].CompletionText | Should -BeExactly '/etc/inner/' -Because 'what is in it comes next'
        foreach ($one in $found) {
            $taken = [scriptblock]::Create("function f { `$args.Count; `$args[0] }; f $($one.CompletionText)")
            (& $taken) | Should -BeExactly 1, "/etc/$($one.ListItemText)$(if ($one.ListItemText -eq 'inner') { '/' })"
        }
    }

    It 'goes on in the words that it gave: <Line>' -ForEach @(
        @{ Line = "-Path '/etc/it''s in/"; Asked = "/etc/it's in"; Whole = "'/etc/it''s in/two'" }
        @{ Line = "-Path '/etc/it''s in/'"; Asked = "/etc/it's in"; Whole = "'/etc/it''s in/two'" }
        @{ Line = '-Path "/etc/a b/t'; Asked = '/etc/a b'; Whole = "'/etc/a b/two'" }
        @{ Line = '-Path /x, /etc/t'; Asked = '/etc'; Whole = '/etc/two' }
        @{ Line = '-Path etc/t'; Asked = '/etc'; Whole = '/etc/two' }
        @{ Line = '-Path '; Asked = '/'; Whole = '/two' }
        @{ Line = '-Id 2026-11-20 -Mirror web1 -Path /t'; Asked = '/'; Whole = '/two'; Words = 'ls --json --mirror web1 -- 2026-11-20' }
    ) {
        $found = Get-Completion -Line "Restore-SnapMirrorItem $Line" -Name 'two' -Folder "$Asked/"
        $found.CompletionText | Should -BeExactly $Whole
        @(Get-Asked) | Should -BeExactly "$(if ($Words) { $Words } else { 'ls --json -- newest' }) $Asked"
    }

    It 'leaves out what cannot be typed, and says nothing where the VM does not' {
        $names = "a$([char]10)b", "bytes$([char]0xdc80)", 'good', 'Other'
        (Get-Completion -Line 'Restore-SnapMirrorItem -Path /etc/' -Name $names).ListItemText | Should -BeExactly 'good', 'Other'
        (Get-Completion -Line 'Restore-SnapMirrorItem -Path /etc/o' -Name $names).ListItemText | Should -Not -Contain 'Other' -Because 'Linux tells them apart'
        Set-Answer -Code 255 -Json '' -Said "no route`n"
        $line = 'Restore-SnapMirrorItem -Path /etc/'
        { TabExpansion2 -inputScript $line -cursorColumn $line.Length } | Should -Not -Throw
    }
}

Describe 'Progress' {
    BeforeAll {
        function Get-Progress {
            # The records of progress that a script gives, in an engine of its own.
            param([string] $Script)
            $inner = [powershell]::Create()
            try {
                $null = $inner.AddScript("Import-Module '$(Split-Path $PSScriptRoot -Parent)/SnapMirror.psd1'; try { $Script } catch { `$null }").Invoke()
                foreach ($one in $inner.Streams.Progress) { "$($one.Activity)|$($one.StatusDescription -replace ' \(\d\d:\d\d:\d\d\)$')|$($one.PercentComplete)|$($one.RecordType)" }
            } finally {
                $inner.Dispose()
            }
        }
        $script:Log = "2026-11-21 03:14:14 lock done (0.0 s)`n2026-11-21 03:15:14 web1: transfer: 12,000 of 50,000 names, 1.2 GiB of 8.0 GiB, 11.5 MiB/s, 10 min 3 s left`n"
    }

    It 'tells what snapmirror tells of a run, and goes at its end' {
        Set-Answer -Json @{ exit_code = 0; mirrors = @() } -Said $script:Log
        $seen = @(Get-Progress 'Invoke-SnapMirrorRun')
        $seen | Should -Contain 'Invoke-SnapMirrorRun|web1: transfer: 12,000 of 50,000 names, 1.2 GiB of 8.0 GiB, 11.5 MiB/s, 10 min 3 s left|15|Processing'
        $seen[-1] | Should -BeLike 'Invoke-SnapMirrorRun|*|Completed'
        @($seen -like '*Completed') | Should -HaveCount 1
    }

    It 'goes after an error, too: <Command>' -ForEach @(
        @{ Command = 'Invoke-SnapMirrorRun' }, @{ Command = 'Test-SnapMirrorSnapshot' }, @{ Command = 'Repair-SnapMirrorSnapshot' }
    ) {
        foreach ($answer in @{ exit_code = 11; mirrors = @() }, '{ "cut') {
            Set-Answer -Code 11 -Json $answer -Said ($script:Log + "snapmirror: error: the share is full`n")
            $seen = @(Get-Progress $Command)
            $seen[0] | Should -BeLike "$Command|*|Processing"
            $seen[-1] | Should -BeLike "$Command|*|Completed"
        }
    }

    It 'is not shown for what is done at once, nor by the task' {
        Set-Answer -Json @(Get-Listed)
        Get-Progress 'Get-SnapMirrorSnapshot' | Should -BeNullOrEmpty
        Set-Answer -Json @{ exit_code = 0; mirrors = @() } -Said $script:Log
        Get-Progress "& '$(Split-Path $PSScriptRoot -Parent)/Invoke-SnapMirrorNight.ps1'" | Should -BeNullOrEmpty
        @(Get-Asked) | Should -Be 'run --json'
    }

    It 'takes the place of lines that tell of nothing else' {
        $told = InModuleScope 'SnapMirror' {
            foreach ($line in 'web1: x: 12 of 50 names', 'web1: x: 12 names', 'web1: x: 200 B of 0 B, 1 B/s', 'web1: 3 of 4 files are damaged', 'warning: web1: x: 12 of 50 names', 'open the store done (0.0 s)') {
                $one = Read-SnapMirrorProgress -Line "2026-11-21 03:14:14 $line"
                if ($one) { "$($one.Percent) $($one.Figures)" } else { 'none' }
            }
        }
        $told | Should -Be '24 True', '-1 True', '100 True', '-1 False', 'none', '-1 False'
    }
}

Describe 'A view' {
    It 'is there for every type, and shows it' {
        $types = InModuleScope 'SnapMirror' { @((Get-SnapMirrorContract).Type.Keys) }
        foreach ($type in $types) {
            Get-FormatData -TypeName $type | Should -Not -BeNullOrEmpty -Because $type
            $properties = InModuleScope 'SnapMirror' -Parameters @{ Name = $type } { param($Name) @((Get-SnapMirrorContract).Type[$Name].Keys) }
            $one = New-Object -TypeName psobject
            foreach ($property in $properties) {
                Add-Member -InputObject $one -MemberType NoteProperty -Name $property -Value 7
            }
            $one.PSObject.TypeNames.Insert(0, $type)
            $one | Out-String -Width 80 | Should -Match '7' -Because $type
        }
        $sources = Get-ChildItem -Path (Split-Path $PSScriptRoot -Parent) -Recurse -Include '*.ps1', '*.psd1' | Where-Object { $_.FullName -notlike '*Tests*' }
        $given = Select-String -Path $sources.FullName -Pattern "(OutputType\(|Insert\(0, ).*'SnapMirror\.\w+'" |
            ForEach-Object { [regex]::Matches($_.Line, 'SnapMirror\.\w+').Value } | Select-Object -Unique
        @($given).Count | Should -BeGreaterThan 8
        foreach ($type in $given) {
            Get-FormatData -TypeName $type | Should -Not -BeNullOrEmpty -Because $type
        }
    }
}

Describe 'The night of the task' {
    BeforeAll {
        $script:Module = Split-Path $PSScriptRoot -Parent
        $script:Engine = @(Get-Command -Name 'pwsh', 'powershell' -CommandType Application -ErrorAction Ignore)[0].Source
        function Invoke-Night {
            # Gives the exit code and the kind of the event.
            param([string] $Module = $script:Module, [string[]] $Argument = @())
            Remove-Item -Path (Join-Path $script:Place 'event') -ErrorAction Ignore
            $null = & $script:Engine -NoProfile -NonInteractive -File (Join-Path $Module 'Invoke-SnapMirrorNight.ps1') @Argument
            $event = if (Test-Path (Join-Path $script:Place 'event')) { Get-Content (Join-Path $script:Place 'event') }
            "$LASTEXITCODE $($event -join ' ')"
        }
        $script:Good = @{ exit_code = 0; mirrors = @(@{ mirror = 'web1'; result = 'published'; snapshot = '2026-11-22T040000Z'; warnings = @() }) }
    }

    It 'ends with 0 when a snapshot was made, and never else' {
        Set-Answer -Json $script:Good
        Invoke-Night | Should -Match '^0 /T INFORMATION .*web1: snapshot 2026-11-22T040000Z'
        Set-Answer -Json ''
        Invoke-Night | Should -Match '^1 /T ERROR .*no snapshot was made'
        Set-Answer -Json $script:Good
        Set-Content -Path $script:SettingPath -Value '{ "VMName": "sna'
        Invoke-Night | Should -Match '^1 /T ERROR .*settings.json cannot be read'
    }

    It 'hands on the exit code and the words' {
        Set-Answer -Code 12 -Json @{ exit_code = 12; mirrors = @() } -Said "snapmirror: error: the server `"web1`" does not answer`n"
        Invoke-Night | Should -Match "^12 /T ERROR .*the server 'web1' does not answer"
    }

    It 'fails when the module cannot be loaded' {
        Set-Answer -Json $script:Good
        $broken = Join-Path $TestDrive 'Broken'
        Copy-Item -Path $script:Module -Destination $broken -Recurse
        Set-Content -Path (Join-Path $broken 'SnapMirror.psm1') -Value 'function {'
        Invoke-Night -Module $broken | Should -Match '^1 /T ERROR '
        Remove-Item -Path (Join-Path $broken 'Invoke-SnapMirrorNight.ps1')
        Invoke-Night -Module $broken | Should -Not -Match '^0 '
    }

    It 'does not end with 0 where no exit code is known' {
        $odd = Join-Path $TestDrive 'Odd'
        Copy-Item -Path $script:Module -Destination $odd -Recurse
        $lines = 'function Invoke-SnapMirrorRun {', '    [CmdletBinding(SupportsShouldProcess)]', '    param([string] $CopyPath)'
        $lines += '    $global:LASTEXITCODE = $null', '    New-Object psobject -Property @{ Mirror = "web1"; Snapshot = "2026-11-22T040000Z" }', '}'
        Set-Content -Path (Join-Path $odd 'SnapMirror.psm1') -Value $lines
        Invoke-Night -Module $odd | Should -Match '^1 /T ERROR .*web1: snapshot'
    }

    It 'says on the error stream that the event log was not written (<Why>), and ends with its own code' -ForEach @(
        @{ Why = 'refused'; Codes = , 12; Lines = 'echo "ERROR: Access is denied." >&2', 'exit 5'; Says = 'eventcreate.exe ended with 5: ERROR: Access is denied.' }
        @{ Why = 'missing'; Codes = , 0; Lines = @(); Says = 'eventcreate.exe' }
    ) {
        $program = Join-Path $script:Place 'eventcreate.exe'
        $kept = Get-Content $program
        try {
            if ($Lines) { Set-Content $program (@('#!/bin/sh') + $Lines) } else { Remove-Item $program }
            # (Both codes with both reasons in the long form: an engine of its own costs each of them two seconds.)
            foreach ($code in $(if ($env:SNAPMIRROR_TEST_LONG) { 0, 12 } else { $Codes })) {
                Set-Answer -Code $code -Json $(if ($code) { @{ exit_code = 12; mirrors = @() } } else { $script:Good })
                $said = Join-Path $TestDrive 'stderr'
                & $script:Engine -NoProfile -NonInteractive -File (Join-Path $script:Module 'Invoke-SnapMirrorNight.ps1') 2>$said | Should -Match "^snapmirror's night ended with $code\."
                $LASTEXITCODE | Should -Be $code
                Get-Content $said -Raw | Should -BeLike "*the event log was not written:*$Says*"
            }
        } finally {
            Set-Content $program $kept
            chmod 755 $program
        }
    }

    It 'warns when the copy fails' {
        Set-Answer -Json $script:Good
        Invoke-Night -Argument '-CopyPath', (Join-Path $TestDrive "it's not `$here") | Should -Match "^3 /T WARNING .*not copied to .*it's not .here"
    }
}
