function Get-SnapMirrorHostCheck {
    # What a host must have, whatever is asked for, in order. Look gives nothing if all is well, or a table: Good, Warning or
    # Bad with a sentence, and Remedy. Must: what cannot be looked at is bad; else it is a warning. Stop: if it is bad, the
    # rest cannot be looked at.
    [CmdletBinding()]
    [OutputType([hashtable[]])]
    param()

    @{
        Name = 'Windows'; Must = $true; Stop = $true
        Look = {
            if ($env:OS -ne 'Windows_NT') { @{ Bad = 'This is not Windows.'; Remedy = 'Install-SnapMirror sets up a Windows host.' } }
        }
    }
    @{
        Name = 'Administrator'; Must = $true
        Look = {
            if (-not (Test-SnapMirrorAdministrator)) {
                @{ Bad = 'This needs an administrator.'; Remedy = 'Right click on PowerShell, Run as administrator.' }
            }
        }
    }
    @{
        Name = 'PowerShell'; Must = $true
        Look = {
            $engine = Get-SnapMirrorEngine
            if (-not $engine.Whole) {
                @{ Bad = "PowerShell is held to a part of its language ($($engine.Mode))."; Remedy = 'Ask whoever has set that policy (AppLocker, WDAC).' }
            } elseif (-not $engine.Wide) {
                @{ Bad = 'This is the 32-bit PowerShell, which has no cmdlets for local accounts.'; Remedy = 'Start the 64-bit one.' }
            } else {
                @{ Good = "PowerShell $($engine.Version)" }
            }
        }
    }
    @{
        Name = 'Policy of scripts'
        Look = {
            foreach ($scope in 'MachinePolicy', 'UserPolicy') {
                $policy = "$(Get-ExecutionPolicy -Scope $scope)"
                if ('AllSigned', 'Restricted' -contains $policy) {
                    @{ Bad = "A group policy ($scope) sets $policy, which also holds for the scheduled task."; Remedy = 'Sign the module (Set-AuthenticodeSignature), or have the policy changed.' }
                    return
                }
            }
        }
    }
    @{
        Name = 'Edition'; Must = $true
        Look = {
            $system = Get-CimInstance -ClassName 'Win32_OperatingSystem'
            if (98, 99, 100, 101 -contains $system.OperatingSystemSKU) {
                @{ Bad = "$($system.Caption) has no Hyper-V."; Remedy = 'It takes Windows Pro, Enterprise, Education or Server.' }
            } elseif ([int]$system.BuildNumber -lt 14393) {
                @{ Bad = "$($system.Caption) (build $($system.BuildNumber)) is too old."; Remedy = 'It takes Windows 10 1607, Windows Server 2016, or later.' }
            } elseif ($system.ProductType -eq 2) {
                @{ Bad = 'This is a domain controller, which has no local accounts.'; Remedy = 'Take another host.' }
            } else {
                @{ Good = "$($system.Caption) (build $($system.BuildNumber))" }
            }
        }
    }
    @{
        Name = 'Virtualisation'
        Look = {
            $computer = Get-CimInstance -ClassName 'Win32_ComputerSystem'
            if ($computer.HypervisorPresent) {
                if ("$($computer.Model)" -match 'Virtual|VMware|KVM') {
                    @{ Warning = "This host is a VM itself ($($computer.Model))."; Remedy = 'It must be let run VMs: Set-VMProcessor -ExposeVirtualizationExtensions $true, on its own host.' }
                }
            } elseif (@(Get-CimInstance -ClassName 'Win32_Processor' | Where-Object { $_.VirtualizationFirmwareEnabled }).Count) {
                @{ Bad = 'No hypervisor runs.'; Remedy = 'Enable Hyper-V, or bcdedit /set hypervisorlaunchtype auto; then restart.' }
            } else {
                @{ Bad = 'Virtualisation is off in the firmware, or the processor has none.'; Remedy = 'Turn it on in the firmware (VT-x, AMD-V, SVM).' }
            }
        }
    }
    @{
        Name = 'Hyper-V'; Must = $true
        Look = {
            $enable = 'Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V -All (Windows Server: Install-WindowsFeature Hyper-V -IncludeManagementTools), then restart.'
            $service = Get-Service -Name 'vmms' -ErrorAction SilentlyContinue
            if (-not (Get-Command -Name 'New-VM' -ErrorAction Ignore) -or -not $service) {
                @{ Bad = 'Hyper-V, or its cmdlets, are missing.'; Remedy = $enable }
            } elseif ("$($service.Status)" -ne 'Running') {
                @{ Bad = "The service of Hyper-V (vmms) is $($service.Status)."; Remedy = 'Start-Service vmms; a restart, if Hyper-V was enabled just now.' }
            }
        }
    }
    @{
        Name = 'Programs'; Must = $true
        Look = {
            foreach ($name in 'ssh', 'sftp', 'ssh-keygen') {
                $null = Get-SnapMirrorProgram -Name $name
            }
            $missing = @('icacls.exe', 'secedit.exe', 'fsutil.exe', 'compact.exe' | Where-Object { -not (Get-Command -Name $_ -CommandType Application -ErrorAction Ignore) })
            if ($missing) { @{ Bad = "Programs of Windows are missing: $($missing -join ', ')."; Remedy = 'Look at PATH: System32 belongs into it.' } }
        }
    }
    @{
        Name = 'File sharing'
        Look = {
            $service = Get-Service -Name 'LanmanServer' -ErrorAction SilentlyContinue
            if (-not $service -or "$($service.Status)" -ne 'Running') {
                @{ Bad = 'Windows shares no files: the service LanmanServer does not run.'; Remedy = 'Set-Service LanmanServer -StartupType Automatic; Start-Service LanmanServer' }
            }
        }
    }
    @{
        Name = 'Log on'; Must = $true
        Look = {
            # The account comes by the network; these groups hold every local account (S-1-5-113 is that itself).
            $every = '*S-1-5-113', '*S-1-1-0', '*S-1-5-11', '*S-1-5-2', '*S-1-5-32-545'
            $right = Get-SnapMirrorRight -Name 'SeDenyNetworkLogonRight', 'SeNetworkLogonRight'
            $denied = @($right['SeDenyNetworkLogonRight'] | Where-Object { $every -contains $_ })
            $remedy = 'Have the policy changed: Local Policies, User Rights Assignment; mostly one of the domain. Until then the VM cannot reach the share.'
            if ($denied) {
                @{ Bad = "A policy denies local accounts to log on by the network (SeDenyNetworkLogonRight: $($denied -join ', '))."; Remedy = $remedy }
            } elseif ($right['SeNetworkLogonRight'] -and -not @($right['SeNetworkLogonRight'] | Where-Object { $every -contains $_ })) {
                @{ Bad = "A policy lets only others log on by the network (SeNetworkLogonRight: $($right['SeNetworkLogonRight'] -join ', '))."; Remedy = $remedy }
            }
        }
    }
    @{
        Name = 'Sleep'
        Look = { Get-SnapMirrorSleepFinding }
    }
}
