# scripts/first-run.ps1 on doubles of Windows, as Install.Tests.ps1 has them. Its questions: tests/unit/test_first_run.py.

BeforeAll {
    $script:Old = @{}
    foreach ($name in 'PATH', 'ProgramData', 'OS', 'SystemRoot', 'COMPUTERNAME', 'USERNAME', 'USERDOMAIN', 'USERDNSDOMAIN') {
        $script:Old[$name] = [System.Environment]::GetEnvironmentVariable($name)
    }
    $script:FirstRun = Join-Path (Split-Path (Split-Path $PSScriptRoot -Parent) -Parent) 'first-run.ps1'
    . (Join-Path $PSScriptRoot 'FirstRunHost.ps1')
    Mock -CommandName 'Write-Host' -MockWith { }

    function Invoke-FirstRun {
        # Gives the report as it was written.
        param([hashtable] $Argument = @{ Force = $true })
        $all = @{
            VhdxPath = Join-Path $script:Root 'vm.vhdx'; SharePath = Join-Path $script:Root 'share'; SwitchName = 'External'
            Source = 'root@web1.secret:/etc'; SeedPath = Join-Path $script:Root 'seed'; RestorePath = '/hosts'
            CopyPath = Join-Path $script:Root 'usb'; ReportPath = Join-Path $script:Root 'report'
            TestPath = Join-Path $script:Root 'own.Tests.ps1'
        }
        foreach ($name in $Argument.Keys) {
            $all[$name] = $Argument[$name]
        }
        $script:Gave = @(& $script:FirstRun @all -WarningAction SilentlyContinue)
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
        $report.Checks[0].Result | Should -Be 'not tried'
        @($report.Checks | Select-Object -Skip 1 | Where-Object Result -ne 'good' | ConvertTo-Json -Depth 4) | Should -BeNullOrEmpty
        $report.Checks.Name | Should -Be @(
            "the module's own tests", 'the host', 'install with -WhatIf makes nothing', 'install', 'a second install changes nothing', 'status', 'a snapshot'
            'the list', 'Tab', 'a restore', 'the check of all contents', 'the copy of the image', 'uninstall', 'nothing is left'
        )
        $script:Code | Should -Be 0
        $script:Gave.Name | Should -Be $report.Checks.Name
        $report.Versions.PowerShell | Should -Be "$($PSVersionTable.PSVersion) $($PSVersionTable.PSEdition)"
        foreach ($name in $report.Checks.Name | Select-Object -Skip 1) {
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

    It 'runs the tests of the module that need no doubles, where there is Pester 5' {
        # Start-VM fails, so that this takes less time.
        $file = Join-Path $script:Root "it's own.Tests.ps1"
        $test = "Describe 'Own' {", "It 'passes' { 1 | Should -Be 1 }", "It 'fails' -ForEach 7 { 'OURPC' | Should -Be 'x' }", '}'
        Set-Content -Path $file -Value ($test + "Describe 'Other' -Tag 'Doubles' { It 'is not run' { throw 'it was' } }")
        Set-DoubleBreak -Name 'Start-VM' -Way 'before'
        $first = (Invoke-FirstRun @{ Force = $true; TestPath = $file }).Checks[0]
        $first.Result | Should -Be 'failed'
        $first.Notes | Should -HaveCount 2
        $first.Notes[0] | Should -Match '^failed: Own\.fails: .*<host>'
        $first.Notes[1] | Should -Be '1 passed, 1 failed'
        Remove-Item -Path (Join-Path $script:Root 'share'), (Join-Path $env:ProgramData 'SnapMirror') -Recurse
        Set-Content -Path $file -Value $test[0, 1, 3]
        Set-DoubleBreak -Name 'Start-VM' -Way 'before'
        $first = (Invoke-FirstRun @{ Force = $true; TestPath = $file }).Checks[0]
        $first.Result, $first.Notes | Should -Be 'good', '1 passed, 0 failed'
        Remove-Item -Path (Join-Path $script:Root 'share'), (Join-Path $env:ProgramData 'SnapMirror') -Recurse
        Mock -CommandName 'Get-Module' -ParameterFilter { $Name -eq 'Pester' } -MockWith { @{ Version = [version] '3.4.0' } }
        Set-DoubleBreak -Name 'Start-VM' -Way 'before'
        $first = (Invoke-FirstRun @{ Force = $true; TestPath = $file }).Checks[0]
        $first.Result | Should -Be 'not tried'
        "$($first.Notes)" | Should -Match 'Pester 5 is not here'
    }

    It 'hides <What>' -ForEach @(
        @{ What = 'the domain'; Said = 'OURCORP\someone at db.corp.example'; Shown = '<domain>\someone at db.<domain>' }
        @{ What = 'an address'; Source = 'root@203.0.113.7:/etc'; Said = 'host 203.0.113.7 port 22, 203.0.113.77, 10.253.91.2'; Shown = 'host <server> port 22, <address>, 10.253.91.2' }
        @{ What = 'an address of IPv6'; Source = 'root@[2001:DB8:0::7]:/etc'; Said = 'to 2001:db8::7, 2001:DB8:0::7 by fe80::1%3 at 03:00:00, ::1'; Shown = 'to <server>, <server> by <address>%3 at 03:00:00, ::1' }
        @{ What = 'addresses of a name'; Source = 'backupper@localhost:/etc'; Said = 'backupper: 127.0.0.1 localhost'; Shown = '<login>: <server> <server>' }
        @{ What = 'the server of an rsync daemon'; Source = 'rsync://joe@web2.secret/etc'; Said = 'joe web2.secret'; Shown = '<login> <server>' }
        @{ What = 'names of two letters'; Computer = 'Q7'; User = 'jo'; Said = 'Q7: C:\Users\jo, jo and joy'; Shown = '<host>: C:\Users\<user>, <user> and joy' }
        @{ What = 'names that are words, as names'; Computer = 'IT'; User = 'c'; Said = 'it is in C:\Users\c, \\it\c$ c'; Shown = 'it is in C:\Users\<user>, \\<host>\c$ c' }
    ) {
        $env:USERDOMAIN = 'OURCORP'
        $env:USERDNSDOMAIN = 'corp.example'
        $env:COMPUTERNAME = if ($_['Computer']) { $_['Computer'] } else { 'OURPC' }
        $env:USERNAME = if ($_['User']) { $_['User'] } else { 'jdoe' }
        $text = & {
            # The functions alone, as the script has them.
            $Source = if ($_['Source']) { $_['Source'] } else { 'root@web1.secret:/etc' }
            $Network = '10.253.91'
            $data = $script:Root
            $known = @{}
            $tree = [System.Management.Automation.Language.Parser]::ParseFile($script:FirstRun, [ref] $null, [ref] $null)
            $wanted = { $args[0] -is [System.Management.Automation.Language.FunctionDefinitionAst] -and $args[0].Name -match '^(Get-Server|Get-Private|Hide-Private)$' }
            $words = { $args[0] -is [System.Management.Automation.Language.AssignmentStatementAst] -and "$($args[0].Left)" -eq '$usual' }
            foreach ($part in @($tree.FindAll($wanted, $true)) + $tree.Find($words, $true)) {
                . ([scriptblock]::Create($part.Extent.Text))
            }
            Hide-Private -Text $Said
        }
        $text | Should -BeExactly $Shown
    }

    It 'makes nothing without a yes, on a host that has an installation or its keys, or into a folder that is there' {
        { Invoke-FirstRun @{ WhatIf = $true } } | Should -Throw '*first-run.txt*' -Because 'there is no report'
        Test-Path (Join-Path $script:Root 'report') | Should -BeFalse
        $null = New-Item -ItemType Directory -Path (Join-Path $script:Root 'share')
        { Invoke-FirstRun } | Should -Throw '*is there already*'
        Remove-Item (Join-Path $script:Root 'share')
        $null = New-Item -ItemType Directory -Path (Join-Path $env:ProgramData 'SnapMirror')
        { Invoke-FirstRun } | Should -Throw '*may hold the only key of an image*'
        Set-Content -Path (Join-Path $env:ProgramData 'SnapMirror/installation.json') -Value '{}'
        { Invoke-FirstRun } | Should -Throw '*There is an installation*'
        @((Get-Double).Calls | Where-Object Name -notlike 'Get-*') | Should -BeNullOrEmpty
    }
}
