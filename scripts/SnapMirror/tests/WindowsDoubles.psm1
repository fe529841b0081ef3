# Doubles of Windows' own cmdlets: the real names, parameters, types and limits, as Microsoft's reference has them.
#
# A module of its own, as the real ones are: the preferences of whoever calls do not reach it. That is so for functions
# (SmbShare, NetTCPIP, NetSecurity, NetAdapter, Storage, ScheduledTasks). LocalAccounts and Hyper-V are binary: those
# would follow $ErrorActionPreference of the caller; here they do not, which is the harder case.
#
# State is kept in a world, every call is recorded. Set-DoubleBreak lets a cmdlet fail once, before its effect or after.
Set-StrictMode -Version 2.0
$script:World = $null

function Reset-Double {
    # A Windows of its own: with a switch, an adapter, a disk, and programs in the folder Place.
    param([Parameter(Mandatory)] [string] $Place)
    $script:World = @{
        Place = $Place; Calls = New-Object -TypeName System.Collections.ArrayList; Break = $null; Way = $null
        User = @{}; Share = @{}; VM = @{}; Switch = @{ External = 'External' }; Rule = @{}; Task = @{}; Disk = @{}; Next = 1001
        Address = @(New-Row @{ InterfaceIndex = 3; InterfaceAlias = 'Ethernet'; IPAddress = '192.168.7.5' })
        FileSystem = 'NTFS'; Telemetry = $true
    }
}

function Get-Double { $script:World }

function Set-DoubleBreak {
    param([string] $Name, [ValidateSet('before', 'after')] [string] $Way)
    $script:World.Break = $Name
    $script:World.Way = $Way
}

function New-Row {
    param([hashtable] $Value)
    New-Object -TypeName psobject -Property $Value
}

function Use-Double {
    # A call: recorded, asked for as ConfirmImpact says, broken if it is to be, done. (A simple function, with names of
    # its own: the effect sees the variables of the double through it.)
    param($DoubleCmdlet, $DoubleBound, [string] $Ask, [scriptblock] $Effect)
    $doubleName = $DoubleCmdlet.MyInvocation.MyCommand.Name
    if ($Ask -and -not $DoubleCmdlet.ShouldProcess($Ask)) {
        return
    }
    $null = $script:World.Calls.Add((New-Row @{ Name = $doubleName; Given = @{} + $DoubleBound }))
    $doubleWay = $null
    if ($script:World.Break -eq $doubleName) {
        $doubleWay = $script:World.Way
        $script:World.Break = $null
    }
    if ($doubleWay -ne 'before') {
        & $Effect
    }
    if ($doubleWay) {
        Write-DoubleError -Cmdlet $DoubleCmdlet -Text "$doubleName is broken ($doubleWay)"
    }
}

function Write-DoubleError {
    param($Cmdlet, [string] $Text)
    $Cmdlet.WriteError((New-Object -TypeName System.Management.Automation.ErrorRecord -ArgumentList @(
        (New-Object -TypeName System.InvalidOperationException -ArgumentList $Text), 'Double',
        [System.Management.Automation.ErrorCategory]::NotSpecified, $Cmdlet
    )))
}

function Select-Double {
    # Those of a table by name; all of them without. A name that is not there is an error, but not the end.
    param($Cmdlet, [hashtable] $Table, [string] $Name)
    if (-not $Name) {
        @($Table.Values)
    } elseif ($Table.ContainsKey($Name)) {
        $Table[$Name]
    } else {
        Write-DoubleError -Cmdlet $Cmdlet -Text "$Name was not found"
    }
}

# -- Microsoft.PowerShell.LocalAccounts (binary) -----------------------------------------------------------------------

function Get-LocalUser {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Select-Double $PSCmdlet $script:World.User $Name }
}

function New-LocalUser {
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory, Position = 0)] [ValidateLength(1, 20)] [string] $Name,
        [Parameter(Mandatory)] [securestring] $Password,
        [switch] $AccountNeverExpires, [switch] $PasswordNeverExpires, [switch] $UserMayNotChangePassword,
        [ValidateLength(0, 48)] [string] $Description, [string] $FullName
    )
    if (-not $script:World.Telemetry) {
        throw (New-Object -TypeName System.TypeLoadException -ArgumentList 'Could not load type TelemetryAPI')
    }
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect {
        if ($script:World.User.ContainsKey($Name)) {
            throw "User $Name already exists."
        }
        $sid = New-Row @{ Value = "S-1-5-21-1-2-3-$($script:World.Next)" }
        $script:World.Next++
        $script:World.User[$Name] = New-Row @{ Name = $Name; SID = $sid; Description = $Description }
        $script:World.User[$Name]
    }
}

function Set-LocalUser {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $Name, [securestring] $Password, [ValidateLength(0, 48)] [string] $Description)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect { $null = Select-Double $PSCmdlet $script:World.User $Name }
}

function Remove-LocalUser {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Mandatory, Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect { $script:World.User.Remove($Name) }
}

# -- SmbShare ----------------------------------------------------------------------------------------------------------

function Get-SmbShare {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Select-Double $PSCmdlet $script:World.Share $Name }
}

function New-SmbShare {
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory, Position = 0)] [string] $Name, [Parameter(Mandatory, Position = 1)] [string] $Path,
        [string[]] $ChangeAccess, [string[]] $FullAccess, [string[]] $ReadAccess, [string] $Description, [bool] $EncryptData,
        [ValidateSet('None', 'Manual', 'Documents', 'Programs', 'BranchCache', 'Unknown')] [string] $CachingMode
    )
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect {
        if ($script:World.Share.ContainsKey($Name)) {
            Write-DoubleError $PSCmdlet 'The name has already been shared.'
        } else {
            $script:World.Share[$Name] = New-Row @{ Name = $Name; Path = $Path; EncryptData = $EncryptData; Description = $Description; Access = "$ChangeAccess" }
            $script:World.Share[$Name]
        }
    }
}

function Set-SmbShare {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param(
        [Parameter(Mandatory, Position = 0)] [string] $Name, [bool] $EncryptData, [switch] $Force,
        [ValidateSet('None', 'Manual', 'Documents', 'Programs', 'BranchCache', 'Unknown')] [string] $CachingMode
    )
    Use-Double $PSCmdlet $PSBoundParameters -Effect { $script:World.Share[$Name].EncryptData = $EncryptData }
}

function Remove-SmbShare {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Mandatory, Position = 0, ValueFromPipelineByPropertyName)] [string] $Name, [switch] $Force)
    process {
        Use-Double $PSCmdlet $PSBoundParameters -Ask $(if (-not $Force) { $Name }) -Effect { $script:World.Share.Remove($Name) }
    }
}

# -- NetAdapter, NetTCPIP, NetSecurity, Storage ------------------------------------------------------------------------

function Get-NetAdapter {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        $all = @{ Ethernet = New-Row @{ Name = 'Ethernet'; InterfaceIndex = 3 } }
        if ($script:World.Switch.ContainsKey('SnapMirror')) {
            $all['vEthernet (SnapMirror)'] = New-Row @{ Name = 'vEthernet (SnapMirror)'; InterfaceIndex = 9 }
        }
        Select-Double $PSCmdlet $all $Name
    }
}

function Get-NetIPAddress {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $IPAddress, [uint32] $InterfaceIndex)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { $script:World.Address }
}

function New-NetIPAddress {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [ipaddress] $IPAddress, [Parameter(Mandatory)] [uint32] $InterfaceIndex, [byte] $PrefixLength)
    Use-Double $PSCmdlet $PSBoundParameters -Ask "$IPAddress" -Effect {
        $script:World.Address += New-Row @{ InterfaceIndex = $InterfaceIndex; InterfaceAlias = 'vEthernet (SnapMirror)'; IPAddress = "$IPAddress" }
    }
}

function Get-NetFirewallRule {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Select-Double $PSCmdlet $script:World.Rule $Name }
}

function New-NetFirewallRule {
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [string] $Name, [Parameter(Mandatory)] [string] $DisplayName, [string] $Protocol, [string[]] $LocalPort,
        [ValidateSet('Inbound', 'Outbound')] [string] $Direction, [string[]] $LocalAddress, [string[]] $RemoteAddress,
        [ValidateSet('NotConfigured', 'Allow', 'Block')] [string] $Action
    )
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect { $script:World.Rule[$Name] = New-Row @{ Name = $Name; RemoteAddress = "$RemoteAddress" } }
}

function Remove-NetFirewallRule {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect { $script:World.Rule.Remove($Name) }
}

function Get-Volume {
    [CmdletBinding()]
    param([string] $FilePath)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { New-Row @{ FileSystemType = $script:World.FileSystem } }
}

function Get-Disk {
    [CmdletBinding()]
    param([Parameter(ValueFromPipeline)] $InputObject)
    process { Use-Double $PSCmdlet @{} -Effect { New-Row @{ Number = 1 } } }
}

function Initialize-Disk {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory)] [uint32] $Number, [ValidateSet('Unknown', 'MBR', 'GPT')] [string] $PartitionStyle)
    Use-Double $PSCmdlet $PSBoundParameters -Ask "$Number" -Effect { $null }
}

function New-Partition {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory)] [uint32] $DiskNumber, [switch] $UseMaximumSize, [switch] $AssignDriveLetter)
    Use-Double $PSCmdlet $PSBoundParameters -Ask "$DiskNumber" -Effect {
        $folder = Join-Path $script:World.Place ([guid]::NewGuid())
        $null = New-Item -ItemType Directory -Path $folder
        $null = New-PSDrive -Name 'X' -PSProvider FileSystem -Root $folder -Scope Global
        New-Row @{ DriveLetter = 'X' }
    }
}

function Format-Volume {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Mandatory)] $Partition, [ValidateSet('FAT', 'FAT32', 'exFAT', 'NTFS', 'ReFS')] [string] $FileSystem, [ValidateLength(0, 11)] [string] $NewFileSystemLabel)
    Use-Double $PSCmdlet $PSBoundParameters -Ask 'X' -Effect { $null }
}

# -- Hyper-V (binary) --------------------------------------------------------------------------------------------------

function Get-VM {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Select-Double $PSCmdlet $script:World.VM $Name }
}

function New-VM {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Position = 0)] [string] $Name, [string] $Path, [ValidateSet(1, 2)] [int16] $Generation, [int64] $MemoryStartupBytes, [string] $VHDPath, [string] $SwitchName)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect {
        $card = New-Row @{ Name = 'Network Adapter'; SwitchName = $SwitchName }
        $script:World.VM[$Name] = New-Row @{
            Name = $Name; State = 'Off'; SecureBoot = 'On'; Dynamic = $true; AutomaticStopAction = 'Save'; CheckpointType = 'Standard'
            Card = @($card); Drive = @($VHDPath); Seen = @()
        }
    }
}

function Set-VM {
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory, Position = 0)] [string] $Name, [int64] $ProcessorCount,
        [ValidateSet('Nothing', 'StartIfRunning', 'Start')] [string] $AutomaticStartAction,
        [ValidateSet('TurnOff', 'Save', 'ShutDown')] [string] $AutomaticStopAction,
        [ValidateSet('Disabled', 'Production', 'ProductionOnly', 'Standard')] [string] $CheckpointType
    )
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect {
        Assert-VMOff $PSCmdlet $Name
        $script:World.VM[$Name].AutomaticStopAction = $AutomaticStopAction
        $script:World.VM[$Name].CheckpointType = $CheckpointType
    }
}

function Assert-VMOff {
    param($Cmdlet, [string] $Name)
    if ($script:World.VM[$Name].State -ne 'Off') {
        Write-DoubleError $Cmdlet 'The operation cannot be performed while the virtual machine is in its current state.'
    }
}

function Set-VMFirmware {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [ValidateSet('On', 'Off')] [string] $EnableSecureBoot)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMName -Effect { Assert-VMOff $PSCmdlet $VMName; $script:World.VM[$VMName].SecureBoot = $EnableSecureBoot }
}

function Get-VMFirmware {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { New-Row @{ SecureBoot = $script:World.VM[$VMName].SecureBoot } }
}

function Set-VMMemory {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [bool] $DynamicMemoryEnabled)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMName -Effect { Assert-VMOff $PSCmdlet $VMName; $script:World.VM[$VMName].Dynamic = $DynamicMemoryEnabled }
}

function Get-VMMemory {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { New-Row @{ DynamicMemoryEnabled = $script:World.VM[$VMName].Dynamic } }
}

function Get-VMNetworkAdapter {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { $script:World.VM[$VMName].Card }
}

function Add-VMNetworkAdapter {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [string] $Name, [string] $SwitchName, [ValidatePattern('^[0-9A-F]{12}$')] [string] $StaticMacAddress)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMName -Effect { $script:World.VM[$VMName].Card += New-Row @{ Name = $Name; SwitchName = $SwitchName } }
}

function Connect-VMNetworkAdapter {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [string] $Name, [Parameter(Mandatory)] [string] $SwitchName)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMName -Effect {
        $script:World.VM[$VMName].Card | Where-Object Name -eq $Name | ForEach-Object { $_.SwitchName = $SwitchName }
    }
}

function Get-VMHardDiskDrive {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName)
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        foreach ($vm in Select-Double $PSCmdlet $script:World.VM $VMName) {
            foreach ($path in $vm.Drive) { New-Row @{ VMName = $VMName; Path = $path } }
        }
    }
}

function Add-VMHardDiskDrive {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [string] $Path)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMName -Effect { $script:World.VM[$VMName].Drive += [System.IO.Path]::GetFullPath($Path) }
}

function Remove-VMHardDiskDrive {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory)] $VMHardDiskDrive)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMHardDiskDrive.Path -Effect {
        $vm = $script:World.VM[$VMHardDiskDrive.VMName]
        $vm.Drive = @($vm.Drive | Where-Object { $_ -ne $VMHardDiskDrive.Path })
    }
}

function Start-VM {
    [CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'Name')]
    param([Parameter(Mandatory, Position = 0, ParameterSetName = 'Name')] [string] $Name, [Parameter(Mandatory, ParameterSetName = 'VM')] $VM)
    $which = if ($VM) { $VM.Name } else { $Name }
    Use-Double $PSCmdlet $PSBoundParameters -Ask $which -Effect {
        $script:World.VM[$which].State = 'Running'
        $script:World.VM[$which].Seen = @($script:World.VM[$which].Drive)
    }
}

function Stop-VM {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $Name, [switch] $Force, [switch] $TurnOff)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect { $script:World.VM[$Name].State = 'Off' }
}

function Remove-VM {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Mandatory, Position = 0)] [string] $Name, [switch] $Force)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $(if (-not $Force) { $Name }) -Effect {
        Assert-VMOff $PSCmdlet $Name
        $script:World.VM.Remove($Name)
    }
}

function Get-VMSwitch {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        $all = @{}
        foreach ($one in $script:World.Switch.Keys) { $all[$one] = New-Row @{ Name = $one; SwitchType = $script:World.Switch[$one] } }
        Select-Double $PSCmdlet $all $Name
    }
}

function New-VMSwitch {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $Name, [ValidateSet('Internal', 'Private')] [string] $SwitchType)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect { $script:World.Switch[$Name] = $SwitchType }
}

function Remove-VMSwitch {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Mandatory, Position = 0)] [string] $Name, [switch] $Force)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $(if (-not $Force) { $Name }) -Effect {
        $script:World.Switch.Remove($Name)
        $script:World.Address = @($script:World.Address | Where-Object { $_.InterfaceAlias -ne "vEthernet ($Name)" })
    }
}

function New-VHD {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $Path, [uint64] $SizeBytes, [switch] $Dynamic)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Path -Effect {
        if (Test-Path -LiteralPath $Path) {
            Write-DoubleError $PSCmdlet 'The file exists.'
        } else {
            Set-Content -LiteralPath $Path -Value 'secret'
        }
    }
}

function Mount-VHD {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $Path, [switch] $Passthru)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Path -Effect { $script:World.Disk[$Path] = 'mounted'; New-Row @{ Path = $Path } }
}

function Dismount-VHD {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $Path)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Path -Effect {
        if (-not $script:World.Disk.ContainsKey($Path)) {
            Write-DoubleError $PSCmdlet 'The disk is not mounted.'
        }
        $script:World.Disk.Remove($Path)
        Get-PSDrive | Where-Object Name -eq 'X' | Remove-PSDrive -Scope Global
    }
}

# -- ScheduledTasks ----------------------------------------------------------------------------------------------------

function New-ScheduledTaskAction {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $Execute, [Parameter(Position = 1)] [string] $Argument)
    New-Row @{ Execute = $Execute; Arguments = $Argument }
}

function New-ScheduledTaskTrigger {
    [CmdletBinding()]
    param([switch] $Daily, [Parameter(Mandatory)] [datetime] $At)
    # (Windows' own writes the time in UTC.)
    New-Row @{ StartBoundary = $At.ToUniversalTime().ToString('s') + 'Z' }
}

function New-ScheduledTaskPrincipal {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory, Position = 0)] [string] $UserId, [ValidateSet('Limited', 'Highest')] [string] $RunLevel,
        [ValidateSet('None', 'Password', 'S4U', 'Interactive', 'Group', 'ServiceAccount', 'InteractiveOrPassword')] [string] $LogonType
    )
    New-Row @{ UserId = $UserId }
}

function New-ScheduledTaskSettingsSet {
    [CmdletBinding()]
    param(
        [switch] $WakeToRun, [switch] $StartWhenAvailable, [switch] $AllowStartIfOnBatteries, [switch] $DontStopIfGoingOnBatteries,
        [timespan] $ExecutionTimeLimit, [ValidateSet('Parallel', 'Queue', 'IgnoreNew')] [string] $MultipleInstances
    )
    New-Row @{ WakeToRun = [bool]$WakeToRun }
}

function New-ScheduledTask {
    [CmdletBinding()]
    param($Action, $Trigger, $Principal, $Settings, [string] $Description)
    New-Row @{ Action = $Action; Trigger = $Trigger; Principal = $Principal }
}

function Get-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $TaskName)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Select-Double $PSCmdlet $script:World.Task $TaskName }
}

function Register-ScheduledTask {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $TaskName, [Parameter(Mandatory)] $InputObject, [switch] $Force)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $TaskName -Effect {
        $script:World.Task[$TaskName] = New-Row @{
            TaskName = $TaskName; TaskPath = '\'; Arguments = $InputObject.Action.Arguments
            StartBoundary = $InputObject.Trigger.StartBoundary; UserId = $InputObject.Principal.UserId
        }
    }
}

function Unregister-ScheduledTask {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Mandatory, Position = 0)] [string] $TaskName, [string] $TaskPath)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $TaskName -Effect { $script:World.Task.Remove($TaskName) }
}

# -- what PowerShell on Linux lacks ------------------------------------------------------------------------------------

function Get-Acl {
    # The owner as icacls.exe, the double, has set it.
    [CmdletBinding()]
    param([string] $LiteralPath)
    $kept = Join-Path $script:World.Place "owner-$(stat -c %i $LiteralPath)"
    $owner = if (Test-Path $kept) { (Get-Content $kept).Trim('*') } else { 'S-1-5-21-1-2-3-500' }
    $acl = New-Row @{ Owner = $owner }
    Add-Member -InputObject $acl -MemberType ScriptMethod -Name GetOwner -Value { param($Type) $null = $Type; New-Object -TypeName psobject -Property @{ Value = $this.Owner } } -PassThru
}
