# Install-SnapMirror and Uninstall-SnapMirror from start to end, on doubles: WindowsDoubles.psm1 and programs/double.
# They need a Linux machine with PowerShell 7 and Pester 5; nothing of Windows is touched.

BeforeDiscovery {
    # Everything that changes something, where it is called: each is broken once before its effect, and once after. (A
    # test below looks that nothing is missing here.)
    $install = @(
        'New-LocalUser', 'New-SmbShare', 'New-VMSwitch', 'New-NetIPAddress', 'New-NetFirewallRule', 'New-VM', 'Set-VMFirmware'
        'Set-VMMemory', 'Set-VM', 'Add-VMNetworkAdapter', 'New-VHD', 'Mount-VHD', 'Initialize-Disk', 'New-Partition'
        'Format-Volume', 'Dismount-VHD', 'Add-VMHardDiskDrive', 'Start-VM', 'Remove-VMHardDiskDrive', 'New-ScheduledTaskAction'
        'New-ScheduledTaskTrigger', 'New-ScheduledTaskPrincipal', 'New-ScheduledTaskSettingsSet', 'New-ScheduledTask'
        'Register-ScheduledTask', 'icacls.exe', 'icacls.exe share.new-', 'icacls.exe id_server', 'icacls.exe /grant *S-1-5-21-'
        'secedit.exe', 'secedit.exe /configure', 'ssh-keygen', 'ssh', 'sftp', 'fsutil.exe'
    )
    $mend = @{
        'Set-LocalUser' = { $world.User['snapmirror'].UserMayChangePassword = $true }
        'Enable-LocalUser' = { $world.User['snapmirror'].Enabled = $false }
        'Set-SmbShare' = { $world.Share['snapmirror'].EncryptData = $false }
        'Set-VMSwitch' = { $world.Switch['SnapMirror'] = 'Private' }
        'Set-NetIPAddress' = { $world.Address[1].PrefixLength = 32 }
        'Remove-NetFirewallRule' = { $world.Rule['SnapMirror'].RemoteAddress = '10.0.0.1' }
        'Stop-VM' = { $world.VM['snapmirror'].SecureBoot = 'On' }
        'Connect-VMNetworkAdapter' = { $world.VM['snapmirror'].Card[0].SwitchName = '' }
        'Set-VMNetworkAdapter' = { $world.VM['snapmirror'].Card[1].MacAddress = '00155D000002' }
    }
    $copy = 'New-SmbShare', 'Remove-SmbShare', 'Start-VM', 'icacls.exe /grant', 'icacls.exe /remove', 'ssh'
    $undo = @(
        'Unregister-ScheduledTask', 'Stop-VM', 'Remove-VM', 'Remove-NetFirewallRule', 'Remove-VMSwitch', 'Remove-SmbShare'
        'Remove-LocalUser', 'icacls.exe', 'secedit.exe', 'secedit.exe /configure'
    )
    $script:Breaks, $script:Mended, $script:Copied, $script:Undone = foreach ($names in $install, $mend.Keys, $copy, $undo) {
        , @(foreach ($name in $names) {
            # (What New-ScheduledTask* makes is in memory only: there is no 'after' that differs.)
            foreach ($way in @('before'; if ($name -notlike 'New-ScheduledTask*') { 'after' })) {
                @{ Name = $name; Way = $way; Damage = $mend[$name] }
            }
        })
    }
    $script:AllBroken = @(@{ Broken = @($install) + @($mend.Keys) + $copy + $undo })
}

BeforeAll {
    $script:Old = @{}
    foreach ($name in 'PATH', 'ProgramData', 'OS', 'SystemRoot', 'COMPUTERNAME') {
        $script:Old[$name] = [System.Environment]::GetEnvironmentVariable($name)
    }
    # The programs that the doubles need, in a folder of their own: to find one, PowerShell looks at every file in every
    # folder of PATH, which was half of the time that these tests take.
    $script:Tools = Join-Path $TestDrive 'tools'
    $null = New-Item -ItemType Directory -Path $script:Tools
    foreach ($name in 'base64', 'cat', 'grep', 'iconv', 'mv', 'rm', 'sed', 'sh', 'stat', 'tr') {
        $null = New-Item -ItemType SymbolicLink -Path (Join-Path $script:Tools $name) -Target (Get-Command -Name $name -CommandType Application)[0].Source
    }
    Import-Module -Name (Join-Path $PSScriptRoot 'WindowsDoubles.psm1') -Force -Global -DisableNameChecking
    Import-Module -Name (Join-Path (Split-Path $PSScriptRoot -Parent) 'SnapMirror.psd1') -Force
    # Keeping awake is a call into Windows; a type of that name stands for it.
    if (-not ('SnapMirror.Power' -as [type])) {
        Add-Type -TypeDefinition 'namespace SnapMirror { public static class Power { public static uint SetThreadExecutionState(uint flags) { return flags; } } }'
    }
    Mock -ModuleName 'SnapMirror' -CommandName 'Test-SnapMirrorAdministrator' -MockWith { $true }
    $script:RealSeed = & (Get-Module -Name 'SnapMirror') { (Get-Item -Path 'function:New-SnapMirrorSeed').ScriptBlock }

    function New-Host {
        # A Windows of its own.
        $script:Root = Join-Path $TestDrive ([guid]::NewGuid())
        $script:Place = Join-Path $script:Root 'place'
        $env:ProgramData = Join-Path $script:Root 'data'
        $script:Data = Join-Path $env:ProgramData 'SnapMirror'
        $script:Share = Join-Path $script:Root 'share'
        $null = New-Item -ItemType Directory -Path $script:Place, $env:ProgramData
        foreach ($name in 'icacls.exe', 'secedit.exe', 'fsutil.exe', 'compact.exe', 'powercfg.exe', 'ssh', 'sftp', 'ssh-keygen') {
            $null = New-Item -ItemType SymbolicLink -Path (Join-Path $script:Place $name) -Target (Join-Path $PSScriptRoot 'programs/double')
        }
        $policy = 'SeDenyNetworkLogonRight = Guest', 'SeDenyInteractiveLogonRight = Guest'
        Set-Content -Path (Join-Path $script:Place 'policy') -Value $policy
        Set-Content -Path (Join-Path $script:Place 'grants') -Value $null
        $power = 'STANDBYIDLE 0x00000000 0x00000384', 'HIBERNATEIDLE 0x00000000 0x00000000', 'RTCWAKE 0x00000001 0x00000000'
        Set-Content -Path (Join-Path $script:Place 'power') -Value $power
        Set-Content -Path (Join-Path $script:Place 'image-folder') -Value $script:Share
        $env:PATH = $script:Place + ':' + $script:Tools
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
        if (-not $all.ContainsKey('WarningAction')) { $all['WarningAction'] = 'SilentlyContinue' }
        Install-SnapMirror @all
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

    function Assert-Broken {
        # The break was reached: else its test shows nothing.
        (Get-Double).Break | Should -BeNullOrEmpty -Because 'it is called'
        Get-ChildItem -Path $script:Place -Filter 'break-*' | Should -BeNullOrEmpty -Because 'it is called'
    }

    function Uninstall-Host {
        # Uninstall-SnapMirror, and nothing is left. Where nothing was made, that is said.
        if (Test-Path (Join-Path $script:Data 'installation.json')) {
            $null = Uninstall-SnapMirror -Force -ErrorAction Stop
        } else {
            { Uninstall-SnapMirror -Force } | Should -Throw '*nothing to remove*'
        }
        Assert-Gone
    }

    function Get-Changed {
        # The calls since then that have changed something.
        param([int] $Since)
        $calls = (Get-Double).Calls
        @(for ($index = $Since; $index -lt $calls.Count; $index++) { if ($calls[$index].Name -notlike 'Get-*') { $calls[$index].Name } })
    }

    function Get-OurFile {
        # Every file of ours with its content, as one text each.
        Get-ChildItem -Path $script:Data -Recurse -File | Sort-Object FullName | ForEach-Object { "$($_.FullName) $((Get-FileHash $_.FullName).Hash)" }
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
        @($world.Share['snapmirror'].Access | ForEach-Object { "$($_.Sid) $($_.AccessControlType) $($_.AccessRight)" }) | Should -Be "$sid Allow Change"
        $world.Share['snapmirror'].CachingMode | Should -Be 'None' -Because 'nothing of the image may stay in a cache'
        $user = $world.User['snapmirror']
        "$($user.Enabled) [$($user.PasswordExpires)] $($user.UserMayChangePassword)" | Should -Be 'True [] False'
        $user.Description | Should -BeLike 'snapmirror*'
        Get-Content (Join-Path $script:Place 'grants') | Should -Contain "$(stat -c %i $script:Share) *${sid}:(OI)(CI)M"
        foreach ($folder in $script:Data, $script:Share) {
            Get-Content (Join-Path $script:Place "owner-$(stat -c %i $folder)") | Should -Be '*S-1-5-32-544'
        }
        @($world.VM.Keys) | Should -Be 'snapmirror' -Because 'there is no second one'
        $world.Switch['SnapMirror'] | Should -Be 'Internal'
        @($world.Address | Where-Object IPAddress -eq '10.253.71.1') | Should -HaveCount 1
        @($world.Address | Where-Object IPAddress -eq '10.253.71.1')[0].PrefixLength | Should -Be 24
        $rule = $world.Rule['SnapMirror']
        "$($rule.Enabled) $($rule.Direction) $($rule.Action) $($rule.Profile) $($rule.RemoteAddress) $($rule.LocalAddress) $($rule.Protocol) $($rule.LocalPort)" |
            Should -Be 'True Inbound Allow Any 10.253.71.2 10.253.71.1 TCP 445'
        $vm = $world.VM['snapmirror']
        $vm.State | Should -Be 'Running'
        $vm.SecureBoot | Should -Be 'Off'
        $vm.Dynamic | Should -BeFalse
        "$($vm.AutomaticStartAction) $($vm.AutomaticStopAction) $($vm.CheckpointType)" | Should -Be 'Start ShutDown Disabled' -Because 'it starts and shuts down with Windows'
        @($vm.Card | Sort-Object Name | ForEach-Object { "$($_.Name): $($_.SwitchName)" }) | Should -Be @('Network Adapter: External', 'Windows: SnapMirror')
        ($vm.Card | Where-Object Name -eq 'Windows').MacAddress | Should -Be '00155D0AFD47'
        $vm.Drive | Should -Be (Join-Path $script:Data 'VM/snapmirror.vhdx')
        @($vm.Seen) -match 'seed\.vhdx$' | Should -HaveCount 1 -Because 'it has started with its configuration'
        $vm.Drive | Should -HaveCount 1 -Because 'the seed is taken away'
        foreach ($name in 'image.key', 'image.luks-header', 'id_ed25519', 'id_server', 'settings.json', 'seed/snapmirror.toml', 'Module/SnapMirror.psd1') {
            Test-Path (Join-Path $script:Data $name) | Should -BeTrue -Because $name
        }
        foreach ($name in 'id_ed25519', 'id_server', 'ssh_host_ed25519_key') {
            Get-Content (Join-Path $script:Place "owner-$(stat -c %i (Join-Path $script:Data $name))") | Should -Be '*S-1-5-32-544'
        }
        Test-Path (Join-Path $script:Share 'snapmirror.img.json') | Should -BeTrue
        $task = $world.Task['SnapMirror']
        $task.Triggers[0].StartBoundary | Should -Match '^\d{4}-\d\d-\d\dT03:00:00$'
        "$($task.Triggers.Count) $($task.Triggers[0].DaysInterval) $($task.Triggers[0].Enabled)" | Should -Be '1 1 True'
        $task.Actions[0].Arguments | Should -BeLike '*Invoke-SnapMirrorNight.ps1*'
        "$($task.Principal.UserId) $($task.Principal.LogonType) $($task.Principal.RunLevel)" | Should -Be 'S-1-5-18 ServiceAccount Highest'
        $choice = $task.Settings
        "$($choice.Enabled) $($choice.WakeToRun) $($choice.StartWhenAvailable) $($choice.ExecutionTimeLimit) $($choice.MultipleInstances)" |
            Should -Be 'True True True PT0S IgnoreNew' -Because 'it wakes the host, makes up for a missed night, and is not ended after three days'
        "$($choice.DisallowStartIfOnBatteries) $($choice.StopIfGoingOnBatteries)" | Should -Be 'False False'
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

Describe 'The doubles' {
    BeforeAll {
        New-Host
        $script:Word = New-Object -TypeName System.Security.SecureString
        $null = New-LocalUser -Name 'there' -Password $script:Word
        $null = New-SmbShare -Name 'there' -Path $script:Root
        $null = New-VM -Name 'there' -Generation 2
        $null = New-NetFirewallRule -Name 'there' -DisplayName 'there'
        $script:Disk = Join-Path $script:Root 'there.vhdx'
        $null = New-VHD -Path $script:Disk -SizeBytes 64MB
    }

    It 'refuse as Windows does: <What>' -ForEach @(
        @{ What = 'an account with a long name'; Do = { New-LocalUser -Name ('a' * 21) -Password $Word } }
        @{ What = 'an account with a long description'; Do = { New-LocalUser -Name 'a' -Password $Word -Description ('a' * 49) } }
        @{ What = 'an account twice'; Do = { New-LocalUser -Name 'there' -Password $Word } }
        @{ What = 'an account called as a group'; Do = { New-LocalUser -Name 'Users' -Password $Word } }
        @{ What = 'a password for an account without'; Do = { New-LocalUser -Name 'a' -Password $Word -NoPassword } }
        @{ What = 'an account that is not there'; Do = { Remove-LocalUser -Name 'none' } }
        @{ What = 'a share with a long name'; Do = { New-SmbShare -Name ('a' * 80) -Path $Root } }
        @{ What = 'a share with a reserved name'; Do = { New-SmbShare -Name 'pipe' -Path $Root } }
        @{ What = 'a share of a pattern'; Do = { $null = New-Item -ItemType Directory -Path "$Root/[a]" -Force; New-SmbShare -Name 'a' -Path "$Root/[a]" } }
        @{ What = 'a share of a folder that is not there'; Do = { New-SmbShare -Name 'a' -Path "$Root/none" } }
        @{ What = 'a share of a relative path'; Do = { New-SmbShare -Name 'a' -Path 'place' } }
        @{ What = 'a share for nobody'; Do = { New-SmbShare -Name 'a' -Path $Root -ChangeAccess 'HOST\none' } }
        @{ What = 'a share twice'; Do = { New-SmbShare -Name 'there' -Path $Root } }
        @{ What = 'a share that is not there'; Do = { Remove-SmbShare -Name 'none' -Force } }
        @{ What = 'an address that is none'; Do = { New-NetIPAddress -IPAddress '10.1.1.300' -InterfaceIndex 3 } }
        @{ What = 'an address twice'; Do = { New-NetIPAddress -IPAddress '192.168.7.5' -InterfaceIndex 3 } }
        @{ What = 'an address of no adapter'; Do = { New-NetIPAddress -IPAddress '10.1.1.3' -InterfaceIndex 77 } }
        @{ What = 'a rule twice'; Do = { New-NetFirewallRule -Name 'there' -DisplayName 'there' } }
        @{ What = 'a port without a protocol'; Do = { New-NetFirewallRule -DisplayName 'a' -LocalPort 445 } }
        @{ What = 'a volume of a relative path'; Do = { Get-Volume -FilePath 'place' } }
        @{ What = 'a partition before the disk is initialized'; Do = { New-Partition -DiskNumber 1 -UseMaximumSize } }
        @{ What = 'a VM with a disk that is not there'; Do = { New-VM -Name 'a' -VHDPath "$Root/none.vhdx" } }
        @{ What = 'a VM on no switch'; Do = { New-VM -Name 'a' -SwitchName 'none' } }
        @{ What = 'a VM with a disk and none'; Do = { New-VM -Name 'a' -VHDPath $Disk -NoVHD } }
        @{ What = 'a card on no switch'; Do = { Add-VMNetworkAdapter -VMName 'there' -SwitchName 'none' } }
        @{ What = 'a disk that is not there'; Do = { Add-VMHardDiskDrive -VMName 'there' -Path "$Root/none.vhdx" } }
        @{ What = 'a disk of another kind'; Do = { New-VHD -Path "$Root/a.img" -SizeBytes 64MB } }
        @{ What = 'a disk without a size'; Do = { New-VHD -Path "$Root/a.vhdx" -SizeBytes 1MB } }
        @{ What = 'a disk to be mounted that is not there'; Do = { Mount-VHD -Path "$Root/none.vhdx" } }
        @{ What = 'a disk that is not mounted'; Do = { Dismount-VHD -Path $Disk } }
        @{ What = 'a switch of a type and an adapter'; Do = { New-VMSwitch -Name 'a' -SwitchType Internal -NetAdapterName 'Ethernet' } }
        @{ What = 'a VM that is not there'; Do = { Start-VM -Name 'none' } }
        @{ What = 'a question of Register-ScheduledTask'; Do = { Register-ScheduledTask -TaskName 'a' -InputObject 1 -WhatIf } }
        @{ What = 'a question of New-Partition'; Do = { New-Partition -DiskNumber 1 -UseMaximumSize -WhatIf } }
        @{ What = 'a task with a bad name'; Do = { Register-ScheduledTask -TaskName 'a:b' -InputObject 1 } }
    ) {
        $Root, $Word, $Disk = $script:Root, $script:Word, $script:Disk
        $failed = @()
        $before = (Get-Double).User.Count, (Get-Double).Share.Count, (Get-Double).VM.Count, (Get-Double).Rule.Count
        try {
            $null = & $Do -ErrorVariable failed 2>&1 | ForEach-Object { if ($_ -is [System.Management.Automation.ErrorRecord]) { $failed += $_ } }
        } catch {
            $failed += $_
        }
        $failed | Should -Not -BeNullOrEmpty
        (Get-Double).User.Count, (Get-Double).Share.Count, (Get-Double).VM.Count, (Get-Double).Rule.Count | Should -Be $before
    }

    It 'make a second VM of the same name, as Hyper-V does' {
        $null = New-VM -Name 'there'
        (Get-Double).VM.Values.Name | Should -Be @('there', 'there')
    }

    It 'make a share and format a disk with -WhatIf, as Windows does' {
        $null = New-SmbShare -Name 'whatif' -Path $script:Root -WhatIf
        @((Get-Double).Share.Keys) | Should -Contain 'whatif'
    }
}

Describe 'Test-SnapMirrorHost' {
    BeforeEach {
        New-Host
        $script:Asked = @{ VhdxPath = Join-Path $script:Root 'vm.vhdx'; SharePath = $script:Share; SwitchName = 'External' }
    }

    It 'finds nothing where nothing is wrong, changes nothing, and counts what is installed' {
        $all = @(Test-SnapMirrorHost @script:Asked)
        $all | Where-Object Verdict -ne 'Good' | Out-String | Should -BeNullOrEmpty
        $all[0].PSObject.TypeNames[0] | Should -Be 'SnapMirror.HostCheck'
        @($all.Name | Sort-Object -Unique) | Should -HaveCount $all.Count
        $all | Where-Object { -not $_.Message } | Should -BeNullOrEmpty
        Get-Changed -Since 0 | Should -BeNullOrEmpty
        Test-Path $script:Data | Should -BeFalse
        @(Test-SnapMirrorHost).Name | Should -Not -Contain 'Space'
        $null = Install-Host
        $since = (Get-Double).Calls.Count
        (Get-Double).FreeAtHome = 1MB # (its disk is there already)
        @(Test-SnapMirrorHost @script:Asked).Verdict | Sort-Object -Unique | Should -Be 'Good'
        Get-Changed -Since $since | Should -BeNullOrEmpty
        Get-ChildItem -Path ([System.IO.Path]::GetTempPath()) -Filter 'snapmirror-*.inf' | Should -BeNullOrEmpty
    }

    It 'tells of <Check>: <Why>; Install-SnapMirror refuses it if it is bad' -ForEach @(
        @{ Check = 'Windows'; Why = 'another system'; Do = { $env:OS = '' }; Says = '*not Windows*' }
        @{ Check = 'Administrator'; Why = 'none'; Do = { Mock -ModuleName 'SnapMirror' -CommandName 'Test-SnapMirrorAdministrator' -MockWith { $false } }; Says = '*administrator*' }
        @{ Check = 'PowerShell'; Why = '32 bits'; Do = { Mock -ModuleName 'SnapMirror' -CommandName 'Get-SnapMirrorEngine' -MockWith { @{ Whole = $true; Wide = $false } } }; Says = '*32-bit*' }
        @{ Check = 'PowerShell'; Why = 'a part of the language'; Do = { Mock -ModuleName 'SnapMirror' -CommandName 'Get-SnapMirrorEngine' -MockWith { @{ Whole = $false; Wide = $true; Mode = 'ConstrainedLanguage' } } }; Says = '*ConstrainedLanguage*' }
        @{ Check = 'Policy of scripts'; Why = 'signed ones only'; Do = { (Get-Double).Policy = 'AllSigned' }; Says = '*AllSigned*scheduled task*' }
        @{ Check = 'Edition'; Why = 'Home'; Do = { (Get-Double).System.OperatingSystemSKU = 101 }; Says = '*has no Hyper-V*' }
        @{ Check = 'Edition'; Why = 'too old'; Do = { (Get-Double).System.BuildNumber = '9600' }; Says = '*too old*' }
        @{ Check = 'Edition'; Why = 'a domain controller'; Do = { (Get-Double).System.ProductType = 2 }; Says = '*domain controller*' }
        @{ Check = 'Virtualisation'; Why = 'off in the firmware'; Do = { (Get-Double).Computer.HypervisorPresent = $false }; Says = '*firmware*' }
        @{ Check = 'Virtualisation'; Why = 'no hypervisor'; Do = { (Get-Double).Computer.HypervisorPresent = $false; (Get-Double).Processor.VirtualizationFirmwareEnabled = $true }; Says = '*No hypervisor runs*' }
        @{ Check = 'Virtualisation'; Why = 'a VM'; Is = 'Warning'; Do = { (Get-Double).Computer.Model = 'Virtual Machine' }; Says = '*a VM itself*' }
        @{ Check = 'Hyper-V'; Why = 'missing'; Do = { (Get-Double).Service.Remove('vmms') }; Says = '*missing*' }
        @{ Check = 'Hyper-V'; Why = 'not running'; Do = { (Get-Double).Service.vmms = 'Stopped' }; Says = '*vmms*Stopped*' }
        @{ Check = 'Programs'; Why = 'no ssh'; Do = { Mock -ModuleName 'SnapMirror' -CommandName 'Get-SnapMirrorProgram' -MockWith { throw 'ssh is missing.' } }; Says = '*ssh is missing*' }
        @{ Check = 'Programs'; Why = 'no secedit'; Do = { Remove-Item (Join-Path $script:Place 'secedit.exe') }; Says = '*missing: secedit.exe*' }
        @{ Check = 'File sharing'; Why = 'off'; Do = { (Get-Double).Service.LanmanServer = 'Stopped' }; Says = '*shares no files*' }
        @{ Check = 'Log on'; Why = 'denied to local accounts'; Do = { Set-Content (Join-Path $script:Place 'policy') 'SeDenyNetworkLogonRight = Guest,*S-1-5-113' }; Says = '*denies local accounts*S-1-5-113*' }
        @{ Check = 'Log on'; Why = 'left to others'; Do = { Set-Content (Join-Path $script:Place 'policy') 'SeNetworkLogonRight = *S-1-5-32-544' }; Says = '*lets only others*S-1-5-32-544*' }
        @{ Check = 'Sleep'; Why = 'nobody wakes it'; Is = 'Warning'; Do = { Set-Content (Join-Path $script:Place 'power') 'STANDBYIDLE 0x00000708 0x0000012c', 'HIBERNATEIDLE 0x00000000 0x00000000', 'RTCWAKE 0x00000000 0x00000000' }; Says = '*tasks may not wake it*' }
        @{ Check = 'Sleep'; Why = 'unknown'; Is = 'Warning'; Do = { Remove-Item (Join-Path $script:Place 'power') }; Says = '*could not be looked at*' }
        @{ Check = 'Own folder'; Why = 'of somebody else'; Do = { $null = New-Item -ItemType Directory -Path $script:Data }; Says = '*not the administrators*' }
        @{ Check = 'Disk of the VM'; Why = 'missing'; Do = { Remove-Item (Join-Path $script:Root 'vm.vhdx') }; Says = '*is missing*' }
        @{ Check = 'Disk of the VM'; Why = 'no room'; Do = { (Get-Double).FreeAtHome = 1GB }; Says = '*has 1 GiB free*' }
        @{ Check = 'Memory'; Why = 'little'; Is = 'Warning'; Do = { (Get-Double).System.FreePhysicalMemory = 500000 }; Says = '*memory*' }
        @{ Check = 'Switch'; Why = 'missing'; Do = { (Get-Double).Switch.Clear() }; Says = '*no switch External*' }
        @{ Check = 'Share path'; Why = 'a pattern'; Do = { $script:Share = "$script:Root/[x]"; $script:Asked.SharePath = $script:Share }; Says = '*cannot be shared*' }
        @{ Check = 'Share path'; Why = 'a file'; Do = { Set-Content $script:Share 'x' }; Says = '*is a file*' }
        @{ Check = 'Share path'; Why = 'no sparse files'; Do = { (Get-Double).FileSystem = 'exFAT' }; Says = '*exFAT*sparse*' }
        @{ Check = 'Share path'; Why = 'a removable disk'; Is = 'Warning'; Do = { (Get-Double).DriveType = 'Removable' }; Says = '*taken out*' }
        @{ Check = 'Space'; Why = 'none'; Do = { (Get-Double).Free = 100MB }; Says = '*100 MiB are free*' }
        @{ Check = 'Space'; Why = 'less than the image'; Is = 'Warning'; Do = { (Get-Double).Free = 100GB }; Says = '*may grow to 150 GiB*' }
        @{ Check = 'Network'; Why = 'in use'; Do = { (Get-Double).Address[0].IPAddress = '10.253.71.9' }; Says = '*in use by Ethernet*' }
        @{ Check = 'Group'; Why = 'of that name'; Do = { (Get-Double).Group += 'snapmirror' }; Says = '*a group snapmirror already*' }
        @{ Check = 'Account'; Why = 'of that name'; Do = { (Get-Double).User['snapmirror'] = @{ Name = 'snapmirror' } }; Says = '*an account snapmirror already*' }
        @{ Check = 'Share'; Why = 'of that name'; Do = { (Get-Double).Share['snapmirror'] = @{ Name = 'snapmirror' } }; Says = '*a share snapmirror already*' }
        @{ Check = 'VM'; Why = 'of that name'; Do = { (Get-Double).VM['snapmirror'] = @{ Name = 'snapmirror' } }; Says = '*a VM snapmirror already*' }
        @{ Check = 'Wire'; Why = 'of that name'; Do = { (Get-Double).Switch['SnapMirror'] = 'Private' }; Says = '*a switch SnapMirror already*' }
        @{ Check = 'Firewall rule'; Why = 'of that name'; Do = { (Get-Double).Rule['SnapMirror'] = @{ Name = 'SnapMirror' } }; Says = '*a firewall rule SnapMirror already*' }
        @{ Check = 'Task'; Why = 'of that name'; Do = { (Get-Double).Task['SnapMirror'] = @{ TaskName = 'SnapMirror' } }; Says = '*a task SnapMirror already*' }
    ) {
        $verdict = if ($_['Is']) { $_['Is'] } else { 'Bad' }
        & $Do
        $asked = $script:Asked
        $found = @(Test-SnapMirrorHost @asked | Where-Object { $_.Name -eq $Check })
        $found | Should -HaveCount 1
        "$($found.Verdict)" | Should -Be $verdict -Because "$($found.Message)"
        $found.Message | Should -BeLike $Says
        if ($Check -ne 'Windows' -and $found.Message -notlike '*could not be looked at*') {
            $found.Remedy | Should -Not -BeNullOrEmpty
        }
        if ($verdict -eq 'Bad') {
            { Install-Host } | Should -Throw "${Check}: $Says"
            Get-Changed -Since 0 | Should -BeNullOrEmpty
        } else {
            $warned = Install-Host @{ WhatIf = $true; WarningAction = 'Continue' } 3>&1
            @($warned) -like "${Check}: $Says" | Should -HaveCount 1
        }
    }
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

    It 'broken off at <Name>, <Way> its effect, stops there; Uninstall removes it; or the next call mends it' -ForEach $script:Breaks {
        # (Our own folder, and looking at the host, are before the steps.)
        $id = if ('icacls.exe', 'secedit.exe' -contains $Name) { '*' } else { 'SnapMirror.Install.*' }
        foreach ($mending in $false, $true) {
            if ($mending -and $Name -in 'ssh', 'ssh-keygen', 'sftp', 'fsutil.exe', 'icacls.exe share.new-') {
                New-Host # what these have made stays: they would not be called again
            }
            Set-Break -Name $Name -Way $Way
            { Install-Host } | Should -Throw -ErrorId $id -Because 'each step stops with its own error'
            Assert-Broken
            if ("$Name $Way" -ne 'Dismount-VHD before') {
                Get-PSDrive | Where-Object Name -eq 'X' | Should -BeNullOrEmpty
                Get-ChildItem -Path $script:Root -Recurse -Filter 'seed.vhdx' | Should -BeNullOrEmpty
            }
            if ($mending) {
                $null = Install-Host
                Assert-Whole
            }
            Uninstall-Host
        }
    }

    It 'broken off at <Name>, <Way> its effect, when it mends, stops there; the next call mends it, or Uninstall removes it' -ForEach $script:Mended {
        # (The second time on what the first one has mended: Assert-Whole has seen that it is a whole installation.)
        $world = Get-Double
        $null = Install-Host
        foreach ($mending in $true, $false) {
            . $Damage
            Set-Break -Name $Name -Way $Way
            { Install-Host } | Should -Throw -ErrorId 'SnapMirror.Install.*'
            Assert-Broken
            if ($mending) {
                $null = Install-Host
                Assert-Whole
            }
        }
        Uninstall-Host
    }

    It 'has a break for everything that the module calls and that changes something' -ForEach $script:AllBroken {
        $sources = Get-ChildItem -Path (Split-Path $PSScriptRoot -Parent) -Recurse -Include '*.ps1' | Where-Object { $_.FullName -notlike '*/tests/*' }
        $called = foreach ($source in $sources) {
            $tree = [System.Management.Automation.Language.Parser]::ParseFile($source.FullName, [ref]$null, [ref]$null)
            $tree.FindAll({ param($node) $node -is [System.Management.Automation.Language.CommandAst] }, $true) | ForEach-Object { $_.GetCommandName() }
        }
        $doubles = (Get-Command -Module 'WindowsDoubles' -CommandType Function).Name
        $cmdlets = $called | Where-Object { $_ -in $doubles -and $_ -notlike 'Get-*' } | Sort-Object -Unique
        @($cmdlets).Count | Should -BeGreaterThan 30
        $cmdlets | Where-Object { $_ -notin $Broken } | Should -BeNullOrEmpty
        $null = Install-Host
        $usb = (New-Item -ItemType Directory -Path (Join-Path $script:Root 'usb')).FullName
        $null = Copy-SnapMirrorImage -Path $usb
        Uninstall-Host
        (Get-Double).Calls.Name | Where-Object { $_ -notlike 'Get-*' -and $_ -notin $cmdlets } | Should -BeNullOrEmpty
        # (powercfg.exe only tells of sleep; compact.exe is for a folder of Windows that is compressed.)
        $programs = Get-Content (Join-Path $script:Place 'called') | ForEach-Object { ($_ -split "`t")[0] } | Sort-Object -Unique
        $programs | Where-Object { $_ -notin $Broken -and $_ -ne 'powercfg.exe' } | Should -BeNullOrEmpty
        $literal = (Select-String -Path $sources.FullName -Pattern "-Program '([\w.-]+)'" -AllMatches).Matches | ForEach-Object { $_.Groups[1].Value } | Sort-Object -Unique
        $literal | Where-Object { $_ -notin $Broken -and $_ -notin 'powercfg.exe', 'compact.exe' } | Should -BeNullOrEmpty
    }

    It 'hands each word to a program as it is, also one with a blank' {
        $script:Share = Join-Path $script:Root 'my share'
        Set-Content -Path (Join-Path $script:Place 'image-folder') -Value $script:Share
        $null = Install-Host
        Assert-Whole
        $sid = (Get-Double).User['snapmirror'].SID.Value
        $called = Get-Content (Join-Path $script:Place 'called')
        $called | Should -Contain "icacls.exe`t$script:Share`t/grant`t*${sid}:(OI)(CI)M"
        @($called -match "^secedit\.exe`t/configure`t/db`t[^`t]+`t/cfg`t[^`t]+`t/areas`tUSER_RIGHTS$") | Should -HaveCount 1
        @($called -match "^ssh-keygen`t-q`t-t`ted25519`t-C`tsnapmirror-id_server`t-N`t`t-f`t[^`t]+id_server$") | Should -HaveCount 1 -Because 'an empty word is one, too'
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
        (Get-Double).Task['SnapMirror'].Triggers[0].StartBoundary | Should -Match 'T22:30:00$'
        $since = (Get-Double).Calls.Count
        $null = Install-Host @{ Source = $null; SwitchName = 'Other'; SeedPath = $null }
        Get-Changed -Since $since | Should -BeNullOrEmpty
    }

    It 'shows what changes before it changes it, with -WhatIf too, and only that' {
        $null = Install-Host
        (Get-Double).Switch['Other'] = 'External'
        $since = (Get-Double).Calls.Count
        $files = Get-OurFile
        $other = @{ Source = 'root@web2:/'; SwitchName = 'Other'; At = '04:00'; CopyPath = '/usb' }
        $shown = @(Install-Host ($other + @{ WhatIf = $true }) 6>&1) -like 'This changes *'
        @($shown | ForEach-Object { "$_" }) | Should -Be @(
            'This changes -At: 04:00 (was: 03:00)', 'This changes -CopyPath: /usb (was: )'
            'This changes -Source: root@web2:/ (was: root@web1:/)', 'This changes -SwitchName: Other (was: External)'
        )
        Get-Changed -Since $since | Should -BeNullOrEmpty
        Get-OurFile | Should -Be $files
        # (What -WhatIf says reaches a transcript only.)
        $null = Start-Transcript -Path (Join-Path $script:Root 'transcript')
        $null = Install-Host ($other + @{ WhatIf = $true }) 6>&1
        $null = Stop-Transcript
        $said = @(Get-Content (Join-Path $script:Root 'transcript')) -match '^What if: '
        @($said -replace '^.* "([a-z ''V M]+)[^"]*" on .*$', '$1').Trim() | Should -Be @(
            'make the VM''s configuration', 'make the VM', 'start the VM with its configuration', 'register the scheduled task'
        )
        $all = @(Install-Host $other 6>&1)
        @($all.Steps | Where-Object Done -eq 'changed').Name | Should -Be @('seed', 'vm', 'configuration', 'task')
        @($all[0..3] | ForEach-Object { "$_" }) | Should -Be @($shown | ForEach-Object { "$_" })
        $task = (Get-Double).Task['SnapMirror']
        "$($task.Triggers[0].StartBoundary) $($task.Actions[0].Arguments)" | Should -Match 'T04:00:00 .*-CopyPath /usb$'
        @(Install-Host @{ SwitchName = 'Other'; Source = $null } 6>&1) -like 'This changes *' | Should -BeNullOrEmpty
        @(Install-Host @{ SwitchName = 'Other'; At = '05:00'; InformationAction = 'Ignore' } 6>&1) -like 'This changes *' | Should -BeNullOrEmpty
    }

    It 'refuses another -VhdxPath for a VM that is there, and takes it for a new one' {
        $null = Install-Host
        $new = Join-Path $script:Root 'new.vhdx'
        Set-Content -Path $new -Value 'another disk'
        $since = (Get-Double).Calls.Count
        { Install-Host @{ VhdxPath = $new } } | Should -Throw '*made of another disk*nothing was changed*Uninstall-SnapMirror first*'
        Get-Changed -Since $since | Should -BeNullOrEmpty
        Copy-Item (Join-Path $script:Root 'vm.vhdx') (Join-Path $script:Root 'same.vhdx')
        @((Install-Host @{ VhdxPath = Join-Path $script:Root 'same.vhdx' }).Steps | Where-Object Done -ne 'nothing') | Should -BeNullOrEmpty
        $null = Uninstall-SnapMirror -Force
        $null = Install-Host @{ VhdxPath = $new }
        Assert-Whole
        Get-Content (Join-Path $script:Data 'VM/snapmirror.vhdx') | Should -Be 'another disk'
    }

    It 'leaves a configuration of one''s own as it is, and refuses a -Source beside it' {
        $own = Join-Path $script:Root 'seed/snapmirror.toml'
        $null = Install-Host
        $lines = '[[mirrors]]', 'source = "root@a:/"', '[[mirrors]]', 'source = "root@b:/"'
        Set-Content -Path $own -Value $lines
        $since = (Get-Double).Calls.Count
        { Install-Host @{ Source = 'root@c:/' } } | Should -Throw '*says what to mirror*without -Source*'
        Get-Changed -Since $since | Should -BeNullOrEmpty
        $null = Install-Host @{ Source = $null }
        Get-Content (Join-Path $script:Data 'seed/snapmirror.toml') | Should -Be $lines
        # And by hand, where it lies: what runs the step again does not undo that.
        Remove-Item $own
        (Get-Content (Join-Path $script:Data 'seed/snapmirror.toml')) -replace '@a:', '@d:' | Set-Content (Join-Path $script:Data 'seed/snapmirror.toml')
        $made = Install-Host @{ Source = $null }
        @($made.Steps | Where-Object Name -eq 'configuration').Done | Should -Be 'changed'
        Get-Content (Join-Path $script:Data 'seed/snapmirror.toml') | Should -Contain 'source = "root@d:/"'
    }

    It 'makes up for a call that was broken off before it wrote the new -Source' {
        $null = Install-Host
        Mock -ModuleName 'SnapMirror' -CommandName 'New-SnapMirrorSeed' -MockWith { throw 'broken' }
        { Install-Host @{ Source = 'root@web2:/' } } | Should -Throw '*broken*'
        Mock -ModuleName 'SnapMirror' -CommandName 'New-SnapMirrorSeed' -MockWith { & $script:RealSeed @PesterBoundParameters }
        $null = Install-Host @{ Source = $null }
        Get-Content (Join-Path $script:Data 'seed/snapmirror.toml') -Raw | Should -Match 'source = "root@web2:/"'
    }

    It 'gives the steps with -PassThru, as Get-SnapMirrorInstallation does: what, when, and whether it is there' {
        Get-SnapMirrorInstallation | Should -BeNullOrEmpty
        $before = (Get-Date).AddSeconds(-2)
        $made = @(Install-Host @{ PassThru = $true })
        $made[0].PSObject.TypeNames[0] | Should -Be 'SnapMirror.InstallationStep'
        $made.Step | Should -Be @('settings', 'account', 'logon', 'folder', 'share', 'keys', 'seed', 'wire', 'vm', 'configuration', 'image', 'task')
        @($made.State | Sort-Object -Unique) | Should -Be 'done'
        $made | ForEach-Object { $_.When | Should -BeGreaterThan $before; $_.Since | Should -Be $_.When }
        ($made | Where-Object Step -eq 'share').What | Should -BeLike "share the folder*snapmirror ($script:Share)*"
        (Get-SnapMirrorInstallation | ConvertTo-Json) | Should -Be ($made | ConvertTo-Json)
        (Get-Double).Share.Clear()
        Set-DoubleBreak -Name 'Get-LocalUser' -Way 'before'
        $state = @{}
        Get-SnapMirrorInstallation | ForEach-Object { $state[$_.Step] = $_.State }
        $state['share'], $state['account'], $state['vm'] | Should -Be @('missing', 'unknown', 'done')
        (Install-Host).Steps | Where-Object Done -ne 'nothing' | ForEach-Object { $_.Name } | Should -Be 'share'
        $null = Uninstall-SnapMirror -Force
        Get-SnapMirrorInstallation | Should -BeNullOrEmpty
    }

    It 'does what the examples of the help say' {
        $commands = 'Test-SnapMirrorHost', 'Install-SnapMirror', 'Get-SnapMirrorInstallation', 'Copy-SnapMirrorImage', 'Uninstall-SnapMirror'
        $gave = foreach ($command in $commands) {
            foreach ($example in (Get-Help $command -Full).Examples.Example) {
                $text = $example.Code.Trim() -replace 'D:\\snapmirror\.vhdx', '$script:Root/vm.vhdx' -replace '[DE]:\\', '$script:Root/'
                if ($text -match 'SeedPath') { Set-Content -Path (Join-Path $script:Root 'seed/snapmirror.toml') -Value 'source = "root@a:/"' }
                $null = New-Item -ItemType Directory -Path (Join-Path $script:Root 'Backup') -Force
                Set-Content -Path (Join-Path $script:Place 'image-folder') -Value (Join-Path $script:Root 'Snapmirror')
                "$command $(@(& ([scriptblock]::Create($text)) 3>$null 6>$null).Count)"
            }
        }
        $gave | Should -Be @(
            'Test-SnapMirrorHost 20', 'Test-SnapMirrorHost 0', 'Install-SnapMirror 0', 'Install-SnapMirror 1', 'Get-SnapMirrorInstallation 12'
            'Get-SnapMirrorInstallation 0', 'Copy-SnapMirrorImage 1', 'Copy-SnapMirrorImage 0', 'Uninstall-SnapMirror 0', 'Uninstall-SnapMirror 2'
        )
        $script:Share = Join-Path $script:Root 'Snapmirror'
        Assert-Gone
    }

    It 'shows where it was broken off' {
        Set-DoubleBreak -Name 'New-VMSwitch' -Way 'before'
        { Install-Host } | Should -Throw
        $made = @(Get-SnapMirrorInstallation)
        "$($made[-1].Step) $($made[-1].State)" | Should -Be 'wire begun'
        $made | Format-Table | Out-String -Width 80 | Should -Match 'wire +begun +\d{4}-'
    }

    It 'shows its progress, and ends that, also after an error; Uninstall-SnapMirror too' {
        Mock -ModuleName 'SnapMirror' -CommandName 'Write-Progress' -MockWith {
            $null = $script:Shown.Add("$Activity $(if ($Completed) { 'end' } else { "$PercentComplete $Status" })")
        }
        $script:Shown = New-Object -TypeName System.Collections.ArrayList
        Set-DoubleBreak -Name 'Register-ScheduledTask' -Way 'before'
        { Install-Host } | Should -Throw
        $script:Shown[0] | Should -Be 'Install-SnapMirror 0 1 of 12: write down the settings for the other commands'
        @($script:Shown -match ' \d+ of 12') | Should -HaveCount 12
        $script:Shown[-1] | Should -Be 'Install-SnapMirror end'
        $script:Shown.Clear()
        Set-DoubleBreak -Name 'Remove-VM' -Way 'before'
        Uninstall-SnapMirror -Force -ErrorAction SilentlyContinue
        $script:Shown[0] | Should -Be 'Uninstall-SnapMirror 0 1 of 12: undo: register the scheduled task'
        $script:Shown[-1] | Should -Be 'Uninstall-SnapMirror end'
        @($script:Shown -match ' end$') | Should -HaveCount 1
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

    It 'names everything that is bad at once' {
        (Get-Double).FileSystem = 'exFAT'
        (Get-Double).Group += 'snapmirror'
        { Install-Host @{ SwitchName = 'None' } } | Should -Throw "Switch: *External*`nShare path: *exFAT*`nGroup: *snapmirror already*"
        Get-Changed -Since 0 | Should -BeNullOrEmpty
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

    It 'makes the account by ADSI where New-LocalUser cannot be loaded; the next call completes one that is half made' {
        (Get-Double).Telemetry = $false
        $script:Saved = 0
        $script:Fails = 2
        # What DirectoryEntry has of a computer and of an account, as far as it is used.
        Mock -ModuleName 'SnapMirror' -CommandName 'New-Object' -ParameterFilter { $TypeName -eq 'System.DirectoryServices.DirectoryEntry' } -MockWith {
            "$ArgumentList" | Should -Be 'WinNT://HOST,computer'
            $computer = [pscustomobject]@{}
            Add-Member -InputObject $computer -MemberType ScriptMethod -Name 'Create' -Value {
                param($Kind, $Name)
                $Kind | Should -Be 'User'
                $user = [pscustomobject]@{ Called = $Name; Description = ''; UserFlags = 0x201; Secret = '' }
                Add-Member -InputObject $user -MemberType ScriptMethod -Name 'SetPassword' -Value { param($Secret) $this.Secret = $Secret }
                Add-Member -InputObject $user -MemberType ScriptMethod -Name 'SetInfo' -Value {
                    $script:Saved++
                    if ($script:Saved -eq $script:Fails) { throw 'The RPC server is unavailable.' }
                    $this.Secret | Should -Not -BeNullOrEmpty -Because 'there is no account without a password'
                    if (-not (Get-Double).User.ContainsKey($this.Called)) { & (Get-Module 'WindowsDoubles') { Add-DoubleUser -Name $args[0] } $this.Called }
                    $made = (Get-Double).User[$this.Called]
                    $made.Description = $this.Description
                    $made.Enabled = -not ($this.UserFlags -band 0x2)
                    $made.UserMayChangePassword = -not ($this.UserFlags -band 0x40)
                    if ($this.UserFlags -band 0x10000) { $made.PasswordExpires = $null }
                }
                $user
            }
            $computer
        }
        { Install-Host } | Should -Throw '*RPC server*' -ErrorId 'SnapMirror.Install.account*'
        (Get-Double).User['snapmirror'].PasswordExpires | Should -Not -BeNullOrEmpty -Because 'this one is half made'
        $null = Install-Host
        Assert-Whole
        $script:Saved | Should -Be 2 -Because 'the rest is done by Set-LocalUser'
        Uninstall-Host
        $script:Fails = 0
        $null = Install-Host
        Assert-Whole
        $script:Saved | Should -Be 4
        (Get-Double).Calls.Name | Should -Not -Contain 'New-LocalUser'
    }

    It 'registers a task of the system by its number, at local time' {
        $null = Install-Host
        (Get-Double).Task['SnapMirror'].Principal.UserId | Should -Be 'S-1-5-18'
        (Get-Double).Task['SnapMirror'].Triggers[0].StartBoundary | Should -Not -Match 'Z'
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
        Get-Content (Join-Path $script:Place 'grants') | Where-Object { $_ -like "$(stat -c %i $script:Usb) *" } | Should -BeNullOrEmpty -Because 'its rights are taken back, too'
        Get-Content (Join-Path $script:Place 'grants') | Where-Object { $_ -like "$(stat -c %i $script:Share) *" } | Should -Not -BeNullOrEmpty
    }

    It 'leaves a share alone that it has not made, and one whose copy still runs' {
        $null = New-SmbShare -Name 'snapmirror-copy' -Path $script:Usb -Description 'mine'
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

    It 'starts a VM that is off, and waits for it; with -WhatIf it stays off' {
        (Get-Double).VM['snapmirror'].State = 'Off'
        $asked = Join-Path $script:Place 'asked'
        Remove-Item $asked
        Copy-SnapMirrorImage -Path $script:Usb -WhatIf
        (Get-Double).VM['snapmirror'].State | Should -Be 'Off'
        $null = Copy-SnapMirrorImage -Path $script:Usb
        (Get-Double).VM['snapmirror'].State | Should -Be 'Running'
        @(Get-Content $asked)[0] | Should -Be '["status","--json"]' -Because 'it waits until the VM answers'
        $started = @((Get-Double).Calls | Where-Object Name -eq 'Start-VM').Count
        $null = Copy-SnapMirrorImage -Path $script:Usb
        @((Get-Double).Calls | Where-Object Name -eq 'Start-VM') | Should -HaveCount $started -Because 'it runs already'
    }

    It 'broken off at <Name>, <Way> its effect, is made up for by the next call, or by Uninstall-SnapMirror' -ForEach $script:Copied {
        foreach ($again in $true, $false) {
            (Get-Double).VM['snapmirror'].State = 'Off'
            Set-Break -Name $Name -Way $Way
            { Copy-SnapMirrorImage -Path $script:Usb -ErrorAction Stop } | Should -Throw
            Assert-Broken
            if ($again) {
                $null = Copy-SnapMirrorImage -Path $script:Usb -ErrorAction Stop
                @((Get-Double).Share.Keys) | Should -Be 'snapmirror'
                Get-Content (Join-Path $script:Place 'grants') | Where-Object { $_ -like "$(stat -c %i $script:Usb) *" } | Should -BeNullOrEmpty
            } else {
                Uninstall-Host
            }
        }
    }
}

Describe 'What somebody took away, or changed' {
    BeforeAll {
        New-Host
        $null = Install-Host
    }

    It 'is seen, and made again by the next call: <What>' -ForEach @(
        @{ Step = 'settings'; What = 'the settings'; Do = { Remove-Item (Join-Path $script:Data 'settings.json') } }
        @{ Step = 'account'; What = 'the file with the password'; Do = { Remove-Item (Join-Path $script:Data 'smb.cred') } }
        @{ Step = 'account'; What = 'the account, switched off'; Do = { $world.User['snapmirror'].Enabled = $false } }
        @{ Step = 'account', 'logon', 'folder', 'share'; What = 'the account'; Do = { $world.User.Clear() } }
        @{ Step = 'logon'; What = 'a denied right'; Do = { Set-Content (Join-Path $script:Place 'policy') (@(Get-Content (Join-Path $script:Place 'policy')) -notmatch '^SeDenyBatch') } }
        @{ Step = 'folder'; What = 'the rights on the folder'; Do = { Clear-Content (Join-Path $script:Place 'grants') } }
        @{ Step = 'folder'; What = 'the rights on the folder, now to read'; Do = { (Get-Content (Join-Path $script:Place 'grants')) -replace 'M$', 'R' | Set-Content (Join-Path $script:Place 'grants') } }
        @{ Step = 'folder'; What = 'the rights on what is in the folder'; Do = { (Get-Content (Join-Path $script:Place 'grants')) -replace '\(OI\)\(CI\)' | Set-Content (Join-Path $script:Place 'grants') } }
        @{ Step = 'share'; What = 'the share'; Do = { $world.Share.Clear() } }
        @{ Step = 'share'; What = 'its encryption'; Do = { $world.Share['snapmirror'].EncryptData = $false } }
        @{ Step = 'share'; What = 'the access to it, now to read'; Do = { $world.Share['snapmirror'].Access[0].AccessRight = 'Read' } }
        @{ Step = 'share'; What = 'the access to it, for others, too'; Do = { $world.Share['snapmirror'].Access += New-Object psobject -Property @{ Sid = 'S-1-1-0'; AccessRight = 'Full'; AccessControlType = 'Allow' } } }
        @{ Step = 'keys'; What = 'a public key'; Do = { Remove-Item (Join-Path $script:Data 'id_server.pub') } }
        @{ Step = 'keys'; What = 'the owner of a key'; Do = { Remove-Item (Join-Path $script:Place "owner-$(stat -c %i (Join-Path $script:Data 'id_ed25519'))") } }
        @{ Step = 'keys'; What = 'what the VM is known by'; Do = { Set-Content (Join-Path $script:Data 'known_hosts') '10.253.71.2 ssh-ed25519 BBBB' } }
        @{ Step = 'seed'; What = 'a file of the configuration'; Do = { Remove-Item (Join-Path $script:Data 'seed/network/10-windows.network') } }
        @{ Step = 'seed'; What = 'the key that is let in'; Do = { Set-Content (Join-Path $script:Data 'seed/authorized_keys') 'ssh-ed25519 BBBB' } }
        @{ Step = 'wire', 'vm'; What = 'the switch'; Do = { $world.Switch.Remove('SnapMirror'); $world.Address = @($world.Address[0]); $world.VM['snapmirror'].Card[1].SwitchName = '' } }
        @{ Step = 'wire'; What = 'the kind of the switch'; Do = { $world.Switch['SnapMirror'] = 'Private' } }
        @{ Step = 'wire'; What = 'the address'; Do = { $world.Address = @($world.Address[0]) } }
        @{ Step = 'wire'; What = 'the network of the address'; Do = { $world.Address[1].PrefixLength = 32 } }
        @{ Step = 'wire'; What = 'the firewall rule'; Do = { $world.Rule.Clear() } }
        @{ Step = 'wire'; What = 'whom the rule lets in'; Do = { $world.Rule['SnapMirror'].RemoteAddress = 'Any' } }
        @{ Step = 'vm', 'configuration'; What = 'the VM'; Do = { $world.VM.Clear() } }
        @{ Step = 'vm'; What = 'the disk of the VM'; Do = { $world.VM['snapmirror'].Drive = @(); Remove-Item (Join-Path $script:Data 'VM/snapmirror.vhdx') } }
        @{ Step = 'vm'; What = 'its card for the servers'; Do = { $world.VM['snapmirror'].Card = @($world.VM['snapmirror'].Card | Where-Object Name -eq 'Windows') } }
        @{ Step = 'vm'; What = 'its card for Windows'; Do = { $world.VM['snapmirror'].Card = @($world.VM['snapmirror'].Card | Where-Object Name -ne 'Windows') } }
        @{ Step = 'vm'; What = 'the address of that card'; Do = { ($world.VM['snapmirror'].Card | Where-Object Name -eq 'Windows').MacAddress = '00155D000002' } }
        @{ Step = 'vm'; What = 'the switch of that card'; Do = { ($world.VM['snapmirror'].Card | Where-Object Name -eq 'Windows').SwitchName = 'External' } }
        @{ Step = 'vm'; What = 'its start with Windows'; Do = { $world.VM['snapmirror'].AutomaticStartAction = 'Nothing' } }
        @{ Step = 'configuration'; What = 'that it runs'; Do = { $world.VM['snapmirror'].State = 'Off' } }
        @{ Step = 'image'; What = 'the copy of the header'; Do = { Remove-Item (Join-Path $script:Data 'image.luks-header') } }
        @{ Step = 'task'; What = 'the task'; Do = { $world.Task.Clear() } }
        @{ Step = 'task'; What = 'the time of the task'; Do = { $world.Task['SnapMirror'].Triggers[0].StartBoundary = '2026-11-01T04:00:00' } }
        @{ Step = 'task'; What = 'the words of what it runs'; Do = { $world.Task['SnapMirror'].Actions[0].Arguments += ' -CopyPath E:\' } }
        @{ Step = 'task'; What = 'that it wakes the host'; Do = { $world.Task['SnapMirror'].Settings.WakeToRun = $false } }
        @{ Step = 'task'; What = 'a file of the module that it runs'; Do = { Remove-Item (Join-Path $script:Data 'Module/Private/Start-SnapMirrorVM.ps1') } }
    ) {
        $world = Get-Double
        & $Do
        @(Get-SnapMirrorInstallation | Where-Object State -ne 'done' | ForEach-Object { "$($_.Step) $($_.State)" }) | Should -Be @($Step | ForEach-Object { "$_ missing" })
        $again = @((Install-Host).Steps | Where-Object Done -ne 'nothing')
        $again.Name | Should -Contain @($Step)[0]
        Assert-Whole
    }

    It 'is seen: <What>' -ForEach @(
        @{ Step = 'account'; What = 'its password, which expires'; Of = { $world.User['snapmirror'] }; Name = 'PasswordExpires'; Value = (Get-Date) }
        @{ Step = 'account'; What = 'the account, which expires'; Of = { $world.User['snapmirror'] }; Name = 'AccountExpires'; Value = (Get-Date) }
        @{ Step = 'share'; What = 'its caching'; Of = { $world.Share['snapmirror'] }; Name = 'CachingMode'; Value = 'Documents' }
        @{ Step = 'share'; What = 'the access to it'; Of = { $world.Share['snapmirror'] }; Name = 'Access'; Value = @() }
        @{ Step = 'share'; What = 'the access to it, now denied'; Of = { $world.Share['snapmirror'].Access[0] }; Name = 'AccessControlType'; Value = 'Deny' }
        @{ Step = 'wire'; What = 'the rule, switched off'; Of = { $world.Rule['SnapMirror'] }; Name = 'Enabled'; Value = 'False' }
        @{ Step = 'wire'; What = 'the rule, which blocks'; Of = { $world.Rule['SnapMirror'] }; Name = 'Action'; Value = 'Block' }
        @{ Step = 'wire'; What = 'the rule, the other way'; Of = { $world.Rule['SnapMirror'] }; Name = 'Direction'; Value = 'Outbound' }
        @{ Step = 'wire'; What = 'the rule, in some networks only'; Of = { $world.Rule['SnapMirror'] }; Name = 'Profile'; Value = 'Domain' }
        @{ Step = 'wire'; What = 'where the rule lets in'; Of = { $world.Rule['SnapMirror'] }; Name = 'LocalAddress'; Value = 'Any' }
        @{ Step = 'wire'; What = 'the port of the rule'; Of = { $world.Rule['SnapMirror'] }; Name = 'LocalPort'; Value = '22' }
        @{ Step = 'task'; What = 'its day'; Of = { $world.Task['SnapMirror'].Triggers[0] }; Name = 'DaysInterval'; Value = 7 }
        @{ Step = 'task'; What = 'its trigger, switched off'; Of = { $world.Task['SnapMirror'].Triggers[0] }; Name = 'Enabled'; Value = $false }
        @{ Step = 'task'; What = 'its trigger'; Of = { $world.Task['SnapMirror'] }; Name = 'Triggers'; Value = @() }
        @{ Step = 'task'; What = 'what it runs'; Of = { $world.Task['SnapMirror'].Actions[0] }; Name = 'Execute'; Value = 'calc.exe' }
        @{ Step = 'task'; What = 'as whom it runs'; Of = { $world.Task['SnapMirror'].Principal }; Name = 'LogonType'; Value = 'Interactive' }
        @{ Step = 'task'; What = 'the task, switched off'; Of = { $world.Task['SnapMirror'].Settings }; Name = 'Enabled'; Value = $false }
        @{ Step = 'task'; What = 'that it makes up for a night'; Of = { $world.Task['SnapMirror'].Settings }; Name = 'StartWhenAvailable'; Value = $false }
        @{ Step = 'task'; What = 'its time without end'; Of = { $world.Task['SnapMirror'].Settings }; Name = 'ExecutionTimeLimit'; Value = 'PT72H' }
        @{ Step = 'task'; What = 'that it runs on a battery'; Of = { $world.Task['SnapMirror'].Settings }; Name = 'DisallowStartIfOnBatteries'; Value = $true }
    ) {
        # (What mends it is the same as in another case above.)
        $world = Get-Double
        $there = {
            param($Name)
            $journal = Get-SnapMirrorJournal
            $hash = (@($journal.Made | Where-Object { $_.Name -eq 'task' })[0].Given -split '; ')[-1]
            $wish = @{ SwitchName = 'External'; At = '03:00'; CopyPath = ''; ModuleHash = $hash }
            Test-SnapMirrorStep -Step (Get-SnapMirrorStep | Where-Object { $_.Name -eq $Name }) -Setting (Get-SnapMirrorHostSetting -Argument $journal.Argument) -Wish $wish
        }
        $of = & $Of
        $old = $of.$Name
        $of.$Name = $Value
        & (Get-Module 'SnapMirror') $there $Step | Should -BeFalse
        $of.$Name = $old
        & (Get-Module 'SnapMirror') $there $Step | Should -BeTrue
    }

    It 'leaves nothing behind that Uninstall-SnapMirror would not find' {
        Uninstall-Host
    }
}

Describe 'An account that is gone' {
    BeforeEach {
        New-Host
        $null = Install-Host
    }

    It 'keeps no rights after Uninstall-SnapMirror, nor does one before it' {
        (Get-Double).User.Clear()
        $null = Install-Host # (that has another number)
        (Get-Double).User.Clear()
        @(Get-Content (Join-Path $script:Place 'policy')) -match 'S-1-5-21' | Should -HaveCount 4
        Uninstall-Host
    }

    It 'has no rights to the folder of a copy any more when it goes while that runs' {
        $usb = (New-Item -ItemType Directory -Path (Join-Path $script:Root 'usb')).FullName
        Mock -ModuleName 'SnapMirror' -CommandName 'Start-SnapMirrorVM' -MockWith { }
        Mock -ModuleName 'SnapMirror' -CommandName 'Invoke-SnapMirrorCommand' -MockWith { (Get-Double).User.Clear(); throw 'ended' }
        { Copy-SnapMirrorImage -Path $usb } | Should -Throw 'ended'
        Get-Content (Join-Path $script:Place 'grants') | Where-Object { $_ -like "$(stat -c %i $usb) *" } | Should -BeNullOrEmpty
        Uninstall-Host
    }

    It 'is said, and stays written down, where its rights cannot be taken away' {
        (Get-Double).User.Clear()
        Set-Break -Name 'secedit.exe /configure' -Way 'before'
        Uninstall-SnapMirror -Force -ErrorVariable failed -ErrorAction SilentlyContinue
        @($failed.FullyQualifiedErrorId) -like 'SnapMirror.Uninstall.logon*' | Should -HaveCount 1
        @(Get-SnapMirrorInstallation).Step | Should -Be @('account', 'logon')
        Uninstall-Host
    }

    It 'is said where an installation of before has not written its number down' {
        (Get-Double).User.Clear()
        $path = Join-Path $script:Data 'installation.json'
        $kept = Get-Content $path -Raw | ConvertFrom-Json
        $kept.Made | ForEach-Object { $_.PSObject.Properties.Remove('Sid') }
        $kept | ConvertTo-Json -Depth 5 | Set-Content $path
        Uninstall-SnapMirror -Force -ErrorVariable failed -ErrorAction SilentlyContinue
        @($failed | Where-Object { $_.FullyQualifiedErrorId -like 'SnapMirror.Uninstall.*' } | ForEach-Object { "$_" }) -like '*its number is not known*S-1-5-21-1-2-3-1001*secpol.msc*' | Should -HaveCount 1
        Set-Content (Join-Path $script:Place 'policy') 'SeDenyNetworkLogonRight = Guest', 'SeDenyInteractiveLogonRight = Guest'
        Clear-Content (Join-Path $script:Place 'grants') # by hand
        Uninstall-Host
    }
}

Describe 'Uninstall-SnapMirror' {
    It 'says that <Name> failed (<Way>), removes the rest, and ends with the next call; Install-SnapMirror mends it' -ForEach $script:Undone {
        New-Host
        $null = Install-Host
        foreach ($mending in $true, $false) {
            Set-Break -Name $Name -Way $Way
            $stays = Uninstall-SnapMirror -Force -ErrorVariable failed -ErrorAction SilentlyContinue
            Assert-Broken
            @($failed | Where-Object { $_.FullyQualifiedErrorId -like 'SnapMirror.Uninstall.*' }) | Should -HaveCount 1
            $stays | Should -BeNullOrEmpty -Because 'it is not uninstalled'
            (Get-Double).Task.Count + (Get-Double).Rule.Count | Should -BeLessOrEqual 1
            if ($mending) {
                $null = Install-Host
                Assert-Whole
            }
        }
        Uninstall-Host
    }
}
