# Install-SnapMirror and Uninstall-SnapMirror from start to end, on doubles: WindowsDoubles.psm1 and programs/double.
# They need a Linux machine with PowerShell 7 and Pester 5; nothing of Windows is touched.

BeforeDiscovery {
    # Everything that changes something in an installation: each is broken once before its effect, and once after.
    $changing = @(
        'New-LocalUser', 'New-SmbShare', 'New-VMSwitch', 'New-NetIPAddress', 'New-NetFirewallRule', 'New-VM', 'Set-VMFirmware'
        'Set-VMMemory', 'Set-VM', 'Add-VMNetworkAdapter', 'New-VHD', 'Mount-VHD', 'Initialize-Disk', 'New-Partition'
        'Format-Volume', 'Dismount-VHD', 'Add-VMHardDiskDrive', 'Start-VM', 'Remove-VMHardDiskDrive', 'Register-ScheduledTask'
        'icacls.exe', 'icacls.exe share.new-', 'icacls.exe id_server', 'secedit.exe', 'secedit.exe /configure', 'ssh-keygen'
        'ssh', 'sftp', 'fsutil.exe'
    )
    $script:Breaks = foreach ($name in $changing) {
        foreach ($way in 'before', 'after') {
            @{ Name = $name; Way = $way }
        }
    }
    $script:Undone = foreach ($name in 'Unregister-ScheduledTask', 'Stop-VM', 'Remove-VM', 'Remove-NetFirewallRule', 'Remove-VMSwitch', 'Remove-SmbShare', 'Remove-LocalUser', 'secedit.exe') {
        @{ Name = $name; Way = 'before' }
        if ($name -eq 'Remove-VM') { @{ Name = $name; Way = 'after' } }
    }
}

BeforeAll {
    $script:Old = @{}
    foreach ($name in 'PATH', 'ProgramData', 'OS', 'SystemRoot', 'COMPUTERNAME') {
        $script:Old[$name] = [System.Environment]::GetEnvironmentVariable($name)
    }
    Import-Module -Name (Join-Path $PSScriptRoot 'WindowsDoubles.psm1') -Force -Global -DisableNameChecking
    Import-Module -Name (Join-Path (Split-Path $PSScriptRoot -Parent) 'SnapMirror.psd1') -Force
    # Keeping awake is a call into Windows; a type of that name stands for it.
    if (-not ('SnapMirror.Power' -as [type])) {
        Add-Type -TypeDefinition 'namespace SnapMirror { public static class Power { public static uint SetThreadExecutionState(uint flags) { return flags; } } }'
    }
    Mock -ModuleName 'SnapMirror' -CommandName 'Test-SnapMirrorAdministrator' -MockWith { $true }

    function New-Host {
        # A Windows of its own.
        $script:Root = Join-Path $TestDrive ([guid]::NewGuid())
        $script:Place = Join-Path $script:Root 'place'
        $env:ProgramData = Join-Path $script:Root 'data'
        $script:Data = Join-Path $env:ProgramData 'SnapMirror'
        $script:Share = Join-Path $script:Root 'share'
        $null = New-Item -ItemType Directory -Path $script:Place, $env:ProgramData
        foreach ($name in 'icacls.exe', 'secedit.exe', 'fsutil.exe', 'compact.exe', 'ssh', 'sftp', 'ssh-keygen') {
            $null = New-Item -ItemType SymbolicLink -Path (Join-Path $script:Place $name) -Target (Join-Path $PSScriptRoot 'programs/double')
        }
        $policy = 'SeDenyNetworkLogonRight = Guest', 'SeDenyInteractiveLogonRight = Guest'
        Set-Content -Path (Join-Path $script:Place 'policy') -Value $policy
        Set-Content -Path (Join-Path $script:Place 'grants') -Value $null
        Set-Content -Path (Join-Path $script:Place 'image-folder') -Value $script:Share
        $env:PATH = $script:Place + ':' + $script:Old['PATH']
        $env:OS = 'Windows_NT'
        $env:SystemRoot = '/windows'
        $env:COMPUTERNAME = 'HOST'
        Set-Content -Path (Join-Path $script:Root 'vm.vhdx') -Value 'disk'
        $null = New-Item -ItemType Directory -Path (Join-Path $script:Root 'seed')
        Set-Content -Path (Join-Path $script:Root 'seed/known_hosts') -Value 'web1 ssh-ed25519 AAAA'
        Reset-Double -Place $script:Place
    }

    function Install-Host {
        # Install-SnapMirror with what it needs, and what else is given.
        param([hashtable] $Argument = @{})
        $all = @{
            VhdxPath = Join-Path $script:Root 'vm.vhdx'; SharePath = $script:Share; SwitchName = 'External'
            Source = 'root@web1:/'; SeedPath = Join-Path $script:Root 'seed'
        }
        foreach ($name in $Argument.Keys) {
            if ($null -eq $Argument[$name]) { $all.Remove($name) } else { $all[$name] = $Argument[$name] }
        }
        Install-SnapMirror @all -WarningAction SilentlyContinue
    }

    function Set-Break {
        param([string] $Name, [string] $Way)
        # A cmdlet, or a program, of which a part of its arguments may be said.
        if ($Name -cmatch '-[A-Z]') {
            Set-DoubleBreak -Name $Name -Way $Way
        } else {
            $program, $only = $Name -split ' ', 2
            Set-Content -Path (Join-Path $script:Place "break-$program") -Value "$Way $only"
        }
    }

    function Get-Changed {
        # The calls since then that have changed something.
        param([int] $Since)
        $calls = (Get-Double).Calls
        @(for ($index = $Since; $index -lt $calls.Count; $index++) { if ($calls[$index].Name -notlike 'Get-*') { $calls[$index].Name } })
    }

    function Assert-Whole {
        # Everything is as a whole installation has it.
        $world = Get-Double
        $sid = $world.User['snapmirror'].SID.Value
        foreach ($kind in 'Interactive', 'RemoteInteractive', 'Service', 'Batch') {
            @(Get-Content (Join-Path $script:Place 'policy')) -match "^SeDeny${kind}LogonRight = .*\*$sid" | Should -HaveCount 1 -Because $kind
        }
        @(Get-Content (Join-Path $script:Place 'policy')) -match '^SeDeny(Interactive|Network)LogonRight = Guest' | Should -HaveCount 2
        Get-Content (Join-Path $script:Data 'smb.cred') | Should -Contain 'username=snapmirror'
        @($world.Share.Keys) | Should -Be 'snapmirror'
        $world.Share['snapmirror'].EncryptData | Should -BeTrue
        $world.Share['snapmirror'].Path | Should -Be $script:Share
        $world.Share['snapmirror'].Access | Should -Be 'HOST\snapmirror'
        Get-Content (Join-Path $script:Place 'grants') | Should -Contain "$(stat -c %i $script:Share) *${sid}:(OI)(CI)M"
        foreach ($folder in $script:Data, $script:Share) {
            Get-Content (Join-Path $script:Place "owner-$(stat -c %i $folder)") | Should -Be '*S-1-5-32-544'
        }
        $world.Switch['SnapMirror'] | Should -Be 'Internal'
        @($world.Address | Where-Object IPAddress -eq '10.253.71.1') | Should -HaveCount 1
        $world.Rule['SnapMirror'].RemoteAddress | Should -Be '10.253.71.2'
        $vm = $world.VM['snapmirror']
        $vm.State | Should -Be 'Running'
        $vm.SecureBoot | Should -Be 'Off'
        $vm.Dynamic | Should -BeFalse
        "$($vm.AutomaticStopAction) $($vm.CheckpointType)" | Should -Be 'ShutDown Disabled'
        @($vm.Card.Name) | Should -Be @('Network Adapter', 'Windows')
        @($vm.Seen) -match 'seed\.vhdx$' | Should -HaveCount 1 -Because 'it has started with its configuration'
        $vm.Drive | Should -HaveCount 1 -Because 'the seed is taken away'
        foreach ($name in 'image.key', 'image.luks-header', 'id_ed25519', 'id_server', 'settings.json', 'seed/snapmirror.toml', 'Module/SnapMirror.psd1') {
            Test-Path (Join-Path $script:Data $name) | Should -BeTrue -Because $name
        }
        foreach ($name in 'id_ed25519', 'id_server', 'ssh_host_ed25519_key') {
            Get-Content (Join-Path $script:Place "owner-$(stat -c %i (Join-Path $script:Data $name))") | Should -Be '*S-1-5-32-544'
        }
        Test-Path (Join-Path $script:Share 'snapmirror.img.json') | Should -BeTrue
        $world.Task['SnapMirror'].StartBoundary | Should -Match '^\d{4}-\d\d-\d\dT03:00:00$'
        Assert-Clean
    }

    function Assert-Clean {
        # No secret and no half of anything is left lying about.
        (Get-Double).Disk.Count | Should -Be 0 -Because 'no disk stays mounted'
        Get-PSDrive | Where-Object Name -eq 'X' | Should -BeNullOrEmpty
        Get-ChildItem -Path $script:Root -Recurse -Include '*.part', '*.new', '*.new-*', 'seed.vhdx' | Should -BeNullOrEmpty
        [System.IO.Directory]::GetFiles([System.IO.Path]::GetTempPath(), 'snapmirror-*.inf') | Should -BeNullOrEmpty
    }

    function Assert-Gone {
        # Nothing is left but the image, the keys and the seed.
        $world = Get-Double
        foreach ($kind in 'User', 'Share', 'VM', 'Rule', 'Task') {
            $world[$kind].Count | Should -Be 0 -Because $kind
        }
        @($world.Switch.Keys) | Should -Be 'External'
        @($world.Address.InterfaceIndex) | Should -Be 3
        @(Get-Content (Join-Path $script:Place 'policy')) | Sort-Object | Should -Be @('SeDenyInteractiveLogonRight = Guest', 'SeDenyNetworkLogonRight = Guest')
        Get-Content (Join-Path $script:Place 'grants') | Where-Object { $_ } | Should -BeNullOrEmpty
        foreach ($name in 'VM', 'Module', 'smb.cred', 'settings.json', 'installation.json') {
            Test-Path (Join-Path $script:Data $name) | Should -BeFalse -Because $name
        }
        Assert-Clean
    }
}

AfterAll {
    foreach ($name in $script:Old.Keys) {
        [System.Environment]::SetEnvironmentVariable($name, $script:Old[$name])
    }
    Remove-Module -Name 'SnapMirror', 'WindowsDoubles'
}

Describe 'Install-SnapMirror' {
    BeforeEach {
        New-Host
    }

    It 'makes all of it, does nothing the second time, and Uninstall-SnapMirror removes it' {
        $made = Install-Host
        @($made.Steps | Where-Object Done -ne 'made') | Should -BeNullOrEmpty
        Assert-Whole
        $since = (Get-Double).Calls.Count
        $again = Install-Host
        @($again.Steps | Where-Object Done -ne 'nothing').Name | Should -BeNullOrEmpty
        Get-Changed -Since $since | Should -BeNullOrEmpty
        Assert-Whole
        $stays = Uninstall-SnapMirror -Force
        @($stays.FullName) | Should -Be @($script:Share, $script:Data)
        Assert-Gone
        { Uninstall-SnapMirror -Force } | Should -Throw '*nothing to remove*'
        $null = Install-Host
        Assert-Whole
    }

    It 'changes nothing with -WhatIf' {
        $null = Install-Host @{ WhatIf = $true }
        Get-Changed -Since 0 | Should -BeNullOrEmpty
        Test-Path $script:Data | Should -BeFalse
        Test-Path $script:Share | Should -BeFalse
    }

    It 'broken off at <Name>, <Way> its effect, stops there; the next call mends it; or Uninstall removes it' -ForEach $script:Breaks {
        Set-Break -Name $Name -Way $Way
        $id = if ($Name -eq 'icacls.exe') { '*' } else { 'SnapMirror.Install.*' } # (our own folder is before the steps)
        { Install-Host } | Should -Throw -ErrorId $id -Because 'each step stops with its own error'
        if ("$Name $Way" -ne 'Dismount-VHD before') {
            Get-PSDrive | Where-Object Name -eq 'X' | Should -BeNullOrEmpty
            Get-ChildItem -Path $script:Root -Recurse -Filter 'seed.vhdx' | Should -BeNullOrEmpty
        }
        if ($Way -eq 'after') {
            if (Test-Path (Join-Path $script:Data 'installation.json')) {
                $null = Uninstall-SnapMirror -Force -ErrorAction Stop
                Assert-Gone
            }
            if ($Name -notmatch '^(New|Add|Register)-') {
                return # what changes something twice does no harm
            }
            Set-Break -Name $Name -Way $Way
            { Install-Host } | Should -Throw
        }
        $null = Install-Host
        Assert-Whole
    }

    It 'takes the disk with the secrets away from a VM that does not answer' {
        Mock -ModuleName 'SnapMirror' -CommandName 'Wait-SnapMirrorVM' -MockWith { throw 'the VM has not answered' }
        { Install-Host } | Should -Throw '*the VM has not answered*' -ErrorId 'SnapMirror.Install.configuration*'
        (Get-Double).VM['snapmirror'].Drive | Should -HaveCount 1
        Assert-Clean
    }

    It 'applies what is another the next time, says what it was, and leaves what is not named' {
        $null = Install-Host @{ At = '22:30'; CopyPath = '/usb' }
        (Get-Double).Switch['Other'] = 'External'
        $other = @{ Source = 'root@web2:/'; SwitchName = 'Other'; SeedPath = $null; CopyPath = "/usb/it's" }
        $since = (Get-Double).Calls.Count
        $null = Install-Host ($other + @{ WhatIf = $true })
        Get-Changed -Since $since | Should -BeNullOrEmpty
        $made = Install-Host $other
        @($made.Steps | Where-Object Done -eq 'changed').Name | Should -Be @('seed', 'vm', 'configuration', 'task')
        $toml = Get-Content (Join-Path $script:Data 'seed/snapmirror.toml') -Raw
        $toml | Should -Match 'source = "root@web2:/"'
        $toml | Should -Not -Match 'web1'
        (Get-Double).VM['snapmirror'].Card[0].SwitchName | Should -Be 'Other'
        (Get-Double).Task['SnapMirror'].StartBoundary | Should -Match 'T22:30:00$'
        $since = (Get-Double).Calls.Count
        $null = Install-Host @{ Source = $null; SwitchName = 'Other'; SeedPath = $null }
        Get-Changed -Since $since | Should -BeNullOrEmpty
    }

    It 'refuses -<Name> <Value> for what is there with another, before anything is changed' -ForEach @(
        @{ Name = 'Account'; Value = 'other' }, @{ Name = 'VMName'; Value = 'other' }, @{ Name = 'ShareName'; Value = 'other' }
        @{ Name = 'Network'; Value = '10.9.8' }, @{ Name = 'SharePath'; Value = '/tmp/other' }, @{ Name = 'MirrorName'; Value = 'other' }
        @{ Name = 'ImageSize'; Value = '7G' }
    ) {
        if (-not (Get-Double).VM.Count) { $null = Install-Host }
        $since = (Get-Double).Calls.Count
        { Install-Host @{ $Name = $Value } } | Should -Throw "*This host has -$Name *nothing was changed*"
        Get-Changed -Since $since | Should -BeNullOrEmpty
    }

    It 'finds before anything is made: <Why>' -ForEach @(
        @{ Why = 'a network that is none'; Given = @{ Network = '999.1.1' }; Says = '*-Network 999.1.1 is none*' }
        @{ Why = 'a network in use'; Given = @{ Network = '192.168.7' }; Says = '*in use by Ethernet*' }
        @{ Why = 'a whole drive'; Given = @{ SharePath = '/' }; Says = '*a whole drive*' }
        @{ Why = 'another machine'; Given = @{ SharePath = '//host/share' }; Says = '*on another machine*' }
        @{ Why = 'no such switch'; Given = @{ SwitchName = 'None' }; Says = '*There is no switch None*External*' }
        @{ Why = 'no VHDX'; Given = @{ VhdxPath = '/none.vhdx' }; Says = '*is missing*' }
        @{ Why = 'no such seed'; Given = @{ SeedPath = '/none' }; Says = '*is no folder*' }
        @{ Why = 'nothing to mirror'; Given = @{ Source = $null }; Says = '*Say what to mirror*' }
    ) {
        { Install-Host $Given } | Should -Throw $Says
        Get-Changed -Since 0 | Should -BeNullOrEmpty
        Test-Path $script:Data | Should -BeFalse
    }

    It 'finds names that others have before anything is made' {
        $row = New-Object -TypeName psobject -Property @{ Name = 'snapmirror'; Path = '/other'; TaskName = 'SnapMirror' }
        foreach ($kind in 'User', 'Share', 'VM', 'Task') {
            (Get-Double)[$kind][$row.Name] = $row
            { Install-Host } | Should -Throw '*already, which is not of Install-SnapMirror*' -Because $kind
            (Get-Double)[$kind].Clear()
        }
        (Get-Double).FileSystem = 'exFAT'
        { Install-Host } | Should -Throw '*no sparse files*'
        Test-Path $script:Data | Should -BeFalse
    }

    It 'takes a folder as PowerShell does: relative, with a separator at its end' {
        Push-Location $script:Root
        try {
            $null = Install-Host @{ SharePath = 'share/' }
        } finally {
            Pop-Location
        }
        Assert-Whole
        @((Install-Host @{ SharePath = "$script:Share/" }).Steps | Where-Object Done -ne 'nothing') | Should -BeNullOrEmpty
    }

    It 'makes the account by ADSI where New-LocalUser cannot be loaded' {
        (Get-Double).Telemetry = $false
        Mock -ModuleName 'SnapMirror' -CommandName 'New-SnapMirrorAdsiUser' -MockWith {
            (Get-Double).User[$Name] = New-Object -TypeName psobject -Property @{ Name = $Name; SID = (New-Object -TypeName psobject -Property @{ Value = 'S-1-5-21-9' }) }
        }
        $null = Install-Host
        Assert-Whole
        Should -Invoke -ModuleName 'SnapMirror' -CommandName 'New-SnapMirrorAdsiUser' -Times 1 -Exactly
    }

    It 'registers a task of the system by its number, at local time' {
        $null = Install-Host
        (Get-Double).Task['SnapMirror'].UserId | Should -Be 'S-1-5-18'
        (Get-Double).Task['SnapMirror'].StartBoundary | Should -Not -Match 'Z'
    }
}

Describe 'Copy-SnapMirrorImage' {
    BeforeEach {
        New-Host
        $null = Install-Host
        $script:Usb = Join-Path $script:Root 'usb'
        $null = New-Item -ItemType Directory -Path $script:Usb
    }

    It 'shares the folder for as long as it takes, also when it is refused' {
        $null = Copy-SnapMirrorImage -Path $script:Usb
        @((Get-Double).Share.Keys) | Should -Be 'snapmirror'
        Set-Content -Path (Join-Path $script:Place 'copy-code') -Value 10
        Copy-SnapMirrorImage -Path $script:Usb -ErrorVariable failed -ErrorAction SilentlyContinue
        $failed[0].FullyQualifiedErrorId | Should -BeLike 'SnapMirror.LOCKED*'
        @((Get-Double).Share.Keys) | Should -Be 'snapmirror'
        @((Get-Double).Calls | Where-Object Name -eq 'New-SmbShare') | Should -HaveCount 3
    }

    It 'leaves a share alone that it has not made, and one whose copy still runs' {
        New-SmbShare -Name 'snapmirror-copy' -Path '/other' -Description 'mine'
        { Copy-SnapMirrorImage -Path $script:Usb } | Should -Throw '*not of snapmirror*'
        @((Get-Double).Share.Keys) | Should -Contain 'snapmirror-copy'
        (Get-Double).Share['snapmirror-copy'].Description = 'snapmirror: for as long as a copy runs'
        $lock = [System.IO.File]::Open((Join-Path $script:Data 'copy.lock'), 'OpenOrCreate', 'ReadWrite', 'None')
        try {
            { Copy-SnapMirrorImage -Path $script:Usb } | Should -Throw '*Another copy*'
        } finally {
            $lock.Dispose()
        }
        @((Get-Double).Share.Keys) | Should -Contain 'snapmirror-copy'
        $null = Copy-SnapMirrorImage -Path $script:Usb
        @((Get-Double).Share.Keys) | Should -Be 'snapmirror' -Because 'that one was left over'
    }
}

Describe 'Uninstall-SnapMirror' {
    It 'says that <Name> failed (<Way>), removes the rest, and ends with the next call' -ForEach $script:Undone {
        New-Host
        $null = Install-Host
        Set-Break -Name $Name -Way $Way
        $stays = Uninstall-SnapMirror -Force -ErrorVariable failed -ErrorAction SilentlyContinue
        @($failed | Where-Object { $_.FullyQualifiedErrorId -like 'SnapMirror.Uninstall.*' }) | Should -HaveCount 1
        $stays | Should -BeNullOrEmpty -Because 'it is not uninstalled'
        (Get-Double).Task.Count + (Get-Double).Rule.Count | Should -BeLessOrEqual 1
        $null = Uninstall-SnapMirror -Force -ErrorAction Stop
        Assert-Gone
    }
}
