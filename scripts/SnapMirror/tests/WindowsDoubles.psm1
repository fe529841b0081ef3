# Doubles of Windows' own cmdlets: the real names, parameters, types and limits, as Microsoft's reference has them.
#
# A module of its own, as the real ones are: the preferences of whoever calls do not reach it. That is so for functions
# (SmbShare, NetTCPIP, NetSecurity, NetAdapter, Storage, ScheduledTasks). LocalAccounts and Hyper-V are binary: those
# would follow $ErrorActionPreference of the caller; here they do not, which is the harder case.
#
# State is kept in a world, every call is recorded. Set-DoubleBreak lets a cmdlet fail once, before its effect or after.
#
# Where the limits are from:
#   [docs]    Microsoft's reference, github.com/MicrosoftDocs/windows-powershell-docs, docset/winserver2022-ps: names, types,
#             sets and positions of parameters; "external help file" there says whether it is a .dll (binary) or cdxml (functions).
#   [source]  github.com/PowerShell/PowerShell, src/Microsoft.PowerShell.LocalAccounts, as it was published once.
#   [seen]    told by people who use it; no page of Microsoft's says so.
# Not to be looked up, so not refused here: how long the name of a VM, a switch or a firewall rule may be; whether an account
# may be called as its computer; ConfirmImpact of functions whose page shows no question (taken as 'Medium'); how many
# processors a VM may have; the texts and ids of errors (of CIM, they are in the language of Windows).
# A name that is asked for and is not there is everywhere an error that does not end the caller [source, seen].
Set-StrictMode -Version 2.0
$script:World = $null

function Reset-Double {
    # A Windows of its own: with a switch, an adapter, a disk, and programs in the folder Place.
    param([Parameter(Mandatory)] [string] $Place)
    $script:World = @{
        Place = $Place; Calls = New-Object -TypeName System.Collections.ArrayList; Break = $null; Way = $null
        User = @{}; Share = @{}; VM = @{}; Switch = @{ External = 'External' }; Rule = @{}; Task = @{}; Disk = @{}; Next = 1001
        Address = @(New-Row @{ InterfaceIndex = 3; InterfaceAlias = 'Ethernet'; IPAddress = '192.168.7.5'; PrefixLength = 24 })
        FileSystem = 'NTFS'; Telemetry = $true; Group = @('Administrators', 'Users')
        Free = 500GB; FreeAtHome = 50GB; DriveType = 'Fixed'; Policy = 'Undefined'; Service = @{ vmms = 'Running'; LanmanServer = 'Running' }
        System = @{ Caption = 'Windows 11 Pro'; BuildNumber = '22631'; OperatingSystemSKU = 48; ProductType = 1; FreePhysicalMemory = 8MB }
        Computer = @{ HypervisorPresent = $true; Model = 'Desktop' }; Processor = @{ VirtualizationFirmwareEnabled = $false }
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

function Test-Pattern {
    # Whether a text has letters that stand for others in PowerShell's patterns.
    param([string] $Text)
    $Text -match '[][*?]'
}

# -- Microsoft.PowerShell.LocalAccounts (binary) -----------------------------------------------------------------------
# [source] Names have at most 20 letters; every failure is written as an error, and none ends the caller; ConfirmImpact is
# 'Medium' for all of them. [docs] a description has at most 48 letters, a password 127; a name is that of no group.

function Get-LocalUser {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Select-Double $PSCmdlet $script:World.User $Name }
}

function Get-LocalGroup {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        $all = @{}
        foreach ($one in $script:World.Group) { $all[$one] = New-Row @{ Name = $one } }
        Select-Double $PSCmdlet $all $Name
    }
}

function New-LocalUser {
    [CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'Password')]
    param(
        [Parameter(Mandatory, Position = 0)] [ValidateNotNullOrEmpty()] [ValidateLength(1, 20)] [string] $Name,
        [Parameter(Mandatory, ParameterSetName = 'Password')] [securestring] $Password,
        [Parameter(Mandatory, ParameterSetName = 'NoPassword')] [switch] $NoPassword,
        [Parameter(ParameterSetName = 'Password')] [switch] $PasswordNeverExpires,
        [datetime] $AccountExpires, [switch] $AccountNeverExpires, [switch] $UserMayNotChangePassword, [switch] $Disabled,
        [ValidateNotNull()] [ValidateLength(0, 48)] [string] $Description, [ValidateNotNull()] [string] $FullName
    )
    $null = $NoPassword, $FullName
    if (-not $script:World.Telemetry) {
        throw (New-Object -TypeName System.TypeLoadException -ArgumentList 'Could not load type TelemetryAPI')
    }
    if ($AccountExpires -and $AccountNeverExpires) {
        throw 'Parameters AccountExpires and AccountNeverExpires may not be specified together.'
    }
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect {
        if ($script:World.User.ContainsKey($Name)) {
            Write-DoubleError $PSCmdlet "User $Name already exists."
        } elseif ($script:World.Group -contains $Name) {
            Write-DoubleError $PSCmdlet "Name $Name is already in use."
        } elseif ($Name -match '["/\\\[\]:;|=,+*?<>@]' -or $Name -match '^[. ]+$') {
            Write-DoubleError $PSCmdlet "The name $Name is invalid."
        } elseif ($Password.Length -gt 127) {
            Write-DoubleError $PSCmdlet 'The password does not meet the password policy requirements.'
        } else {
            Add-DoubleUser -Name $Name
            $user = $script:World.User[$Name]
            $user.Description = $Description
            $user.Enabled = -not $Disabled
            $user.UserMayChangePassword = -not $UserMayNotChangePassword
            if ($PasswordNeverExpires) { $user.PasswordExpires = $null }
            if ($AccountExpires) { $user.AccountExpires = $AccountExpires }
            $user
        }
    }
}

function Add-DoubleUser {
    # An account as Windows makes it where nothing more is said: its password expires, it can change it.
    param([string] $Name)
    $sid = New-Row @{ Value = "S-1-5-21-1-2-3-$($script:World.Next)" }
    $script:World.Next++
    $script:World.User[$Name] = New-Row @{
        Name = $Name; SID = $sid; Description = ''; Enabled = $true; UserMayChangePassword = $true; AccountExpires = $null
        PasswordExpires = (Get-Date).AddDays(42)
    }
}

function Set-LocalUser {
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory, Position = 0)] [string] $Name, [securestring] $Password, [ValidateLength(0, 48)] [string] $Description,
        [bool] $PasswordNeverExpires, [bool] $UserMayChangePassword, [datetime] $AccountExpires, [switch] $AccountNeverExpires
    )
    $null = $Password, $AccountNeverExpires, $AccountExpires
    $bound = $PSBoundParameters
    Use-Double $PSCmdlet $bound -Ask $Name -Effect {
        foreach ($user in Select-Double $PSCmdlet $script:World.User $Name) {
            if ($bound.ContainsKey('Description')) { $user.Description = $Description }
            if ($bound.ContainsKey('UserMayChangePassword')) { $user.UserMayChangePassword = $UserMayChangePassword }
            if ($PasswordNeverExpires) { $user.PasswordExpires = $null }
            if ($AccountNeverExpires) { $user.AccountExpires = $null }
        }
    }
}

function Enable-LocalUser {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string[]] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Ask "$Name" -Effect {
        foreach ($user in Select-Double $PSCmdlet $script:World.User "$Name") { $user.Enabled = $true }
    }
}

function Remove-LocalUser {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [ValidateNotNullOrEmpty()] [string[]] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Ask "$Name" -Effect {
        foreach ($one in $Name) {
            if (Select-Double $PSCmdlet $script:World.User $one) { $script:World.User.Remove($one) }
        }
    }
}

# -- SmbShare (functions) ----------------------------------------------------------------------------------------------
# [docs] a name has less than 80 letters, and is not pipe or mailslot; a path is whole, without * ? [ ]; a description has at
# most 256 letters; -WhatIf of New-SmbShare does nothing, it makes the share; Set- and Remove-SmbShare ask without -Force.
# [seen] the folder and the accounts must be there.

function Get-SmbShare {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Select-Double $PSCmdlet $script:World.Share $Name }
}

function New-SmbShare {
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory, Position = 1)] [string] $Name, [Parameter(Mandatory, Position = 0)] [string] $Path,
        [string[]] $ChangeAccess, [string[]] $FullAccess, [string[]] $ReadAccess, [string[]] $NoAccess, [string] $Description, [bool] $EncryptData,
        [ValidateSet('None', 'Manual', 'Documents', 'Programs', 'BranchCache', 'Unknown')] [string] $CachingMode
    )
    $strange = @($ChangeAccess) + $FullAccess + $ReadAccess + $NoAccess | Where-Object { $_ -and -not $script:World.User.ContainsKey(($_ -split '\\')[-1]) }
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        if ($Name.Length -ge 80 -or 'pipe', 'mailslot' -contains $Name -or $Description.Length -gt 256) {
            Write-DoubleError $PSCmdlet 'The parameter is incorrect.'
        } elseif ((Test-Pattern $Path) -or -not [System.IO.Path]::IsPathRooted($Path) -or -not (Test-Path -LiteralPath $Path -PathType Container)) {
            Write-DoubleError $PSCmdlet 'The system cannot find the file specified.'
        } elseif ($script:World.Share.ContainsKey($Name)) {
            Write-DoubleError $PSCmdlet 'The name has already been shared.'
        } elseif ($strange) {
            Write-DoubleError $PSCmdlet 'No mapping between account names and security IDs was done.'
        } else {
            $access = foreach ($one in $ChangeAccess | Where-Object { $_ }) { New-DoubleAccess $script:World.User[($one -split '\\')[-1]].SID.Value 'Change' }
            $script:World.Share[$Name] = New-Row @{
                Name = $Name; Path = $Path; EncryptData = $EncryptData; Description = $Description; Access = @($access)
                CachingMode = if ($CachingMode) { $CachingMode } else { 'Manual' }
            }
            $script:World.Share[$Name]
        }
    }
}

function Set-SmbShare {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param(
        [Parameter(Mandatory, Position = 0)] [string[]] $Name, [bool] $EncryptData, [switch] $Force, [string] $Description, [string] $SecurityDescriptor,
        [ValidateSet('None', 'Manual', 'Documents', 'Programs', 'BranchCache', 'Unknown')] [string] $CachingMode
    )
    $null = $Description
    $bound = $PSBoundParameters
    Use-Double $PSCmdlet $bound -Ask $(if (-not $Force) { "$Name" }) -Effect {
        foreach ($one in Select-Double $PSCmdlet $script:World.Share "$Name") {
            if ($bound.ContainsKey('EncryptData')) { $one.EncryptData = $EncryptData }
            if ($CachingMode) { $one.CachingMode = $CachingMode }
            if ($SecurityDescriptor -match '^O:SYG:SYD:((\(A;;0x1301bf;;;S-1-5-21-[0-9-]+\))+)$') {
                $one.Access = @([regex]::Matches($Matches[1], 'S-[0-9-]+') | ForEach-Object { New-DoubleAccess $_.Value 'Change' })
            } elseif ($SecurityDescriptor) {
                Write-DoubleError $PSCmdlet 'The parameter is incorrect.'
            }
        }
    }
}

function New-DoubleAccess {
    param([string] $Sid, [string] $Right, [string] $Type = 'Allow')
    New-Row @{ Sid = $Sid; AccessRight = $Right; AccessControlType = $Type }
}

function Get-SmbShareAccess {
    # [docs] AccountName is the computer or domain, and the name; [seen] of an account that is gone, its number.
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        foreach ($one in @(Select-Double $PSCmdlet $script:World.Share $Name | ForEach-Object { $_.Access })) {
            $user = $script:World.User.Values | Where-Object { $_.SID.Value -eq $one.Sid }
            $who = if ($user) { "$env:COMPUTERNAME\$($user.Name)" } else { $one.Sid }
            New-Row @{ Name = $Name; AccountName = $who; AccessRight = $one.AccessRight; AccessControlType = $one.AccessControlType }
        }
    }
}

function Remove-SmbShare {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Mandatory, Position = 0, ValueFromPipelineByPropertyName)] [string[]] $Name, [switch] $Force)
    process {
        Use-Double $PSCmdlet $PSBoundParameters -Ask $(if (-not $Force) { "$Name" }) -Effect {
            if (Select-Double $PSCmdlet $script:World.Share "$Name") { $script:World.Share.Remove("$Name") }
        }
    }
}

# -- NetAdapter, NetTCPIP, NetSecurity, Storage (functions) ------------------------------------------------------------
# [docs] an address is a text; a rule has a display name, which is not All, and a port only with a protocol that has ports;
# a path of Get-Volume is whole; a disk is initialized once, and before its partition; -WhatIf of Format-Volume does nothing,
# it formats, and only the common file systems; New-Partition has neither -WhatIf nor -Confirm; the name of a rule is its own.
# [seen] an address is made once, and on an adapter that there is; FAT has labels of 11 letters.

function Get-DoubleAdapter {
    # The adapters: the one of the machine, and one for the internal switch.
    New-Row @{ Name = 'Ethernet'; InterfaceIndex = 3 }
    if ($script:World.Switch.ContainsKey('SnapMirror')) {
        New-Row @{ Name = 'vEthernet (SnapMirror)'; InterfaceIndex = 9 }
    }
}

function Get-NetAdapter {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        $all = @{}
        foreach ($one in Get-DoubleAdapter) { $all[$one.Name] = $one }
        Select-Double $PSCmdlet $all $Name
    }
}

function Get-NetIPAddress {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string[]] $IPAddress, [uint32[]] $InterfaceIndex)
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        $found = @($script:World.Address | Where-Object { (-not $IPAddress -or $IPAddress -contains $_.IPAddress) -and (-not $InterfaceIndex -or $InterfaceIndex -contains $_.InterfaceIndex) })
        if (-not $found -and ($IPAddress -or $InterfaceIndex)) {
            Write-DoubleError $PSCmdlet 'No matching MSFT_NetIPAddress objects found by CIM query.'
        }
        $found
    }
}

function New-NetIPAddress {
    [CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'ByInterfaceAlias')]
    param(
        [Parameter(Mandatory, Position = 0)] [string] $IPAddress, [byte] $PrefixLength,
        [Parameter(Mandatory, ParameterSetName = 'ByInterfaceAlias')] [string] $InterfaceAlias,
        [Parameter(Mandatory, ParameterSetName = 'ByInterfaceIndex')] [uint32] $InterfaceIndex
    )
    Use-Double $PSCmdlet $PSBoundParameters -Ask $IPAddress -Effect {
        $adapter = @(Get-DoubleAdapter | Where-Object { $_.InterfaceIndex -eq $InterfaceIndex -or ($InterfaceAlias -and $_.Name -eq $InterfaceAlias) })
        $parsed = $null
        if (-not [System.Net.IPAddress]::TryParse($IPAddress, [ref]$parsed) -or $PrefixLength -gt 32) {
            Write-DoubleError $PSCmdlet 'The parameter is incorrect.'
        } elseif (-not $adapter) {
            Write-DoubleError $PSCmdlet 'Element not found.'
        } elseif (@($script:World.Address | Where-Object { $_.IPAddress -eq $IPAddress })) {
            Write-DoubleError $PSCmdlet 'The object already exists.'
        } else {
            $script:World.Address += New-Row @{ InterfaceIndex = $adapter[0].InterfaceIndex; InterfaceAlias = $adapter[0].Name; IPAddress = $IPAddress; PrefixLength = $PrefixLength }
        }
    }
}

function Set-NetIPAddress {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Position = 0)] [string[]] $IPAddress, [uint32[]] $InterfaceIndex, [byte] $PrefixLength)
    Use-Double $PSCmdlet $PSBoundParameters -Ask "$IPAddress" -Effect {
        $found = @($script:World.Address | Where-Object { $IPAddress -contains $_.IPAddress -and $InterfaceIndex -contains $_.InterfaceIndex })
        if (-not $found) { Write-DoubleError $PSCmdlet 'No matching MSFT_NetIPAddress objects found by CIM query.' }
        $found | ForEach-Object { $_.PrefixLength = $PrefixLength }
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
        [string] $Name = "{$([guid]::NewGuid())}", [Parameter(Mandatory)] [string] $DisplayName, [string] $Protocol, [string[]] $LocalPort,
        [ValidateSet('Inbound', 'Outbound')] [string] $Direction, [string[]] $LocalAddress, [string[]] $RemoteAddress,
        [ValidateSet('NotConfigured', 'Allow', 'Block')] [string] $Action
    )
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect {
        $parsed = $null
        $wrong = @($LocalAddress) + $RemoteAddress | Where-Object { $_ -and -not [System.Net.IPAddress]::TryParse($_, [ref]$parsed) }
        if ($DisplayName -eq 'All' -or $wrong -or ($LocalPort -and 'TCP', 'UDP' -notcontains $Protocol) -or ($LocalPort -match '[^0-9-]')) {
            Write-DoubleError $PSCmdlet 'The parameter is incorrect.'
        } elseif ($script:World.Rule.ContainsKey($Name)) {
            Write-DoubleError $PSCmdlet 'Cannot create a file when that file already exists.'
        } else {
            $script:World.Rule[$Name] = New-Row @{
                Name = $Name; Enabled = 'True'; Direction = $Direction; Action = $Action; Profile = 'Any'
                RemoteAddress = "$RemoteAddress"; LocalAddress = "$LocalAddress"; Protocol = $Protocol; LocalPort = "$LocalPort"
            }
        }
    }
}

function Get-NetFirewallAddressFilter {
    [CmdletBinding()]
    param([Parameter(Mandatory)] $AssociatedNetFirewallRule)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { $AssociatedNetFirewallRule | Select-Object -Property RemoteAddress, LocalAddress }
}

function Get-NetFirewallPortFilter {
    [CmdletBinding()]
    param([Parameter(Mandatory)] $AssociatedNetFirewallRule)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { $AssociatedNetFirewallRule | Select-Object -Property Protocol, LocalPort }
}

function Remove-NetFirewallRule {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Position = 0)] [string[]] $Name, [switch] $All)
    $null = $All
    Use-Double $PSCmdlet $PSBoundParameters -Ask "$Name" -Effect {
        if (-not $Name) {
            $script:World.Rule.Clear() # without a name it removes every rule [docs]
        } elseif (Select-Double $PSCmdlet $script:World.Rule "$Name") {
            $script:World.Rule.Remove("$Name")
        }
    }
}

function Get-Volume {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [char[]] $DriveLetter, [string] $FilePath)
    $null = $DriveLetter
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        if (-not [System.IO.Path]::IsPathRooted($FilePath)) {
            Write-DoubleError $PSCmdlet 'Invalid Parameter'
        } else {
            $free = if ($FilePath.StartsWith($env:ProgramData)) { $script:World.FreeAtHome } else { $script:World.Free }
            New-Row @{ FileSystemType = $script:World.FileSystem; DriveType = $script:World.DriveType; SizeRemaining = $free }
        }
    }
}

function Get-Disk {
    [CmdletBinding()]
    param([Parameter(ValueFromPipeline)] $InputObject)
    process { Use-Double $PSCmdlet @{} -Effect { New-Row @{ Number = 1 } } }
}

function Initialize-Disk {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [uint32[]] $Number, [ValidateSet('Unknown', 'MBR', 'GPT')] [string] $PartitionStyle)
    $null = $PartitionStyle
    Use-Double $PSCmdlet $PSBoundParameters -Ask "$Number" -Effect {
        if ($script:World.Disk.Values -contains 'initialized') {
            Write-DoubleError $PSCmdlet 'The disk has already been initialized.'
        }
        foreach ($path in @($script:World.Disk.Keys)) { $script:World.Disk[$path] = 'initialized' }
    }
}

function New-Partition {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [uint32[]] $DiskNumber, [uint64] $Size, [switch] $UseMaximumSize, [switch] $AssignDriveLetter)
    $null = $AssignDriveLetter
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        if ($script:World.Disk.Values -notcontains 'initialized') {
            Write-DoubleError $PSCmdlet 'The disk has not been initialized.'
        } elseif ([bool]$Size -eq [bool]$UseMaximumSize) {
            Write-DoubleError $PSCmdlet 'Invalid Parameter'
        } else {
            $folder = Join-Path $script:World.Place ([guid]::NewGuid())
            $null = New-Item -ItemType Directory -Path $folder
            $null = New-PSDrive -Name 'X' -PSProvider FileSystem -Root $folder -Scope Global
            New-Row @{ DriveLetter = 'X' }
        }
    }
}

function Format-Volume {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(ValueFromPipeline)] $Partition, [ValidateSet('FAT', 'FAT32', 'exFAT', 'NTFS', 'ReFS')] [string] $FileSystem, [string] $NewFileSystemLabel, [switch] $Force)
    $null = $Partition, $Force
    if (-not $WhatIfPreference -and -not $PSCmdlet.ShouldProcess('X')) {
        return
    }
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        if ($FileSystem -eq 'FAT' -and $NewFileSystemLabel.Length -gt 11) {
            Write-DoubleError $PSCmdlet 'The specified volume label is too long.'
        }
    }
}

# -- Hyper-V (binary) --------------------------------------------------------------------------------------------------
# [docs] memory is Int64, a generation 1 or 2; -VHDPath is of a set of its own; firmware is of generation 2; a disk's name
# ends in .vhd or .vhdx, and a new one has a size; a new switch is Internal or Private, or has an adapter; Remove-VM and
# Remove-VMSwitch ask without -Force. [seen] names of VMs are not unique: New-VM makes a second one; files, switches and VMs
# that are named must be there; firmware, memory and processors are set while the VM is off; to start what runs, or stop what
# is off, is a warning; a disk is attached to one VM once, and mounted once; a mounted one is attached to none.

function Get-VM {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Select-Double $PSCmdlet $script:World.VM $Name }
}

function New-VM {
    [CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'No VHD')]
    param(
        [Parameter(Position = 0)] [string] $Name = 'New virtual machine', [Parameter(Position = 1)] [int64] $MemoryStartupBytes = 512MB,
        [Parameter(Position = 2)] [ValidateSet(1, 2)] [int16] $Generation = 1, [string] $Path, [string] $SwitchName, [switch] $Force,
        [Parameter(Mandatory, ParameterSetName = 'Existing VHD')] [string] $VHDPath, [Parameter(ParameterSetName = 'No VHD')] [switch] $NoVHD
    )
    $null = $Path, $Force, $NoVHD
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect {
        if (($VHDPath -and -not (Test-Path -LiteralPath $VHDPath -PathType Leaf)) -or $MemoryStartupBytes -lt 32MB) {
            Write-DoubleError $PSCmdlet 'Failed to create a new virtual machine.'
        } elseif (Test-DoubleSwitch $PSCmdlet $SwitchName) {
            $card = New-Row @{ Name = 'Network Adapter'; SwitchName = $SwitchName; MacAddress = '00155D000001' }
            $key = if ($script:World.VM.ContainsKey($Name)) { "$Name, the second" } else { $Name }
            $script:World.VM[$key] = New-Row @{
                Name = $Name; State = 'Off'; SecureBoot = 'On'; Dynamic = $true; AutomaticStartAction = 'StartIfRunning'; AutomaticStopAction = 'Save'; CheckpointType = 'Standard'
                Generation = $Generation; Card = @($card); Drive = @($VHDPath); Seen = @()
            }
        }
    }
}

function Test-DoubleSwitch {
    # Whether there is a switch of that name, or none was named; an error if not.
    param($Cmdlet, [string] $Name)
    if ($Name -and -not $script:World.Switch.ContainsKey($Name)) {
        Write-DoubleError $Cmdlet "Hyper-V was unable to find a virtual switch with name ""$Name""."
        return $false
    }
    $true
}

function Use-DoubleVM {
    # What is done with the VM of a name; an error if there is none. (With names of its own, as Use-Double.)
    param($DoubleCmdlet, [string] $DoubleVM, [scriptblock] $DoubleDo, [switch] $DoubleOff)
    $doubleFound = Select-Double $DoubleCmdlet $script:World.VM $DoubleVM
    if ($doubleFound -and (-not $DoubleOff -or $doubleFound.State -eq 'Off')) {
        & $DoubleDo $doubleFound
    } elseif ($doubleFound) {
        Write-DoubleError $DoubleCmdlet 'The operation cannot be performed while the virtual machine is in its current state.'
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
    $null = $ProcessorCount
    $bound = $PSBoundParameters
    Use-Double $PSCmdlet $bound -Ask $Name -Effect {
        Use-DoubleVM $PSCmdlet $Name -DoubleOff {
            param($vm)
            foreach ($one in 'AutomaticStartAction', 'AutomaticStopAction', 'CheckpointType') {
                if ($bound.ContainsKey($one)) { $vm.$one = $bound[$one] }
            }
        }
    }
}

function Set-VMFirmware {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [ValidateSet('On', 'Off')] [string] $EnableSecureBoot)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMName -Effect {
        Use-DoubleVM $PSCmdlet $VMName -DoubleOff {
            param($vm)
            if ($vm.Generation -ne 2) { Write-DoubleError $PSCmdlet 'This operation is supported by generation 2 only.' } else { $vm.SecureBoot = $EnableSecureBoot }
        }
    }
}

function Get-VMFirmware {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Use-DoubleVM $PSCmdlet $VMName { param($vm) New-Row @{ SecureBoot = $vm.SecureBoot } } }
}

function Set-VMMemory {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [bool] $DynamicMemoryEnabled)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMName -Effect { Use-DoubleVM $PSCmdlet $VMName -DoubleOff { param($vm) $vm.Dynamic = $DynamicMemoryEnabled } }
}

function Get-VMMemory {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Use-DoubleVM $PSCmdlet $VMName { param($vm) New-Row @{ DynamicMemoryEnabled = $vm.Dynamic } } }
}

function Get-VMNetworkAdapter {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Use-DoubleVM $PSCmdlet $VMName { param($vm) $vm.Card | Where-Object { -not $Name -or $_.Name -eq $Name } } }
}

function Add-VMNetworkAdapter {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [string] $Name = 'Network Adapter', [string] $SwitchName, [ValidatePattern('^[0-9A-F]{12}$')] [string] $StaticMacAddress)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMName -Effect {
        if (Test-DoubleSwitch $PSCmdlet $SwitchName) {
            Use-DoubleVM $PSCmdlet $VMName { param($vm) $vm.Card += New-Row @{ Name = $Name; SwitchName = $SwitchName; MacAddress = $StaticMacAddress } }
        }
    }
}

function Set-VMNetworkAdapter {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [string] $Name, [ValidatePattern('^[0-9A-F]{12}$')] [string] $StaticMacAddress)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMName -Effect {
        Use-DoubleVM $PSCmdlet $VMName -DoubleOff { param($vm) $vm.Card | Where-Object Name -eq $Name | ForEach-Object { $_.MacAddress = $StaticMacAddress } }
    }
}

function Connect-VMNetworkAdapter {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $VMName, [string] $Name, [Parameter(Mandatory)] [string] $SwitchName)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMName -Effect {
        if (Test-DoubleSwitch $PSCmdlet $SwitchName) {
            Use-DoubleVM $PSCmdlet $VMName { param($vm) $vm.Card | Where-Object Name -eq $Name | ForEach-Object { $_.SwitchName = $SwitchName } }
        }
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
    Use-Double $PSCmdlet $PSBoundParameters -Ask $VMName -Effect {
        $whole = [System.IO.Path]::GetFullPath($Path)
        Use-DoubleVM $PSCmdlet $VMName {
            param($vm)
            if (-not (Test-Path -LiteralPath $whole -PathType Leaf) -or $script:World.Disk.ContainsKey($Path) -or @($script:World.VM.Values | Where-Object { $_.Drive -contains $whole })) {
                Write-DoubleError $PSCmdlet "Failed to add device 'Virtual Hard Disk'."
            } else {
                $vm.Drive += $whole
            }
        }
    }
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
    param([Parameter(Mandatory, Position = 0, ParameterSetName = 'Name')] [string] $Name, [Parameter(Mandatory, Position = 0, ParameterSetName = 'VM')] $VM)
    $which = if ($VM) { $VM.Name } else { $Name }
    Use-Double $PSCmdlet $PSBoundParameters -Ask $which -Effect {
        Use-DoubleVM $PSCmdlet $which {
            param($vm)
            if ($vm.State -eq 'Running') {
                Write-Warning 'The virtual machine is already in the specified state.'
            } else {
                $vm.State = 'Running'
                $vm.Seen = @($vm.Drive)
            }
        }
    }
}

function Stop-VM {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $Name, [switch] $Force, [switch] $Save, [switch] $TurnOff)
    $null = $Force, $Save, $TurnOff
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect {
        Use-DoubleVM $PSCmdlet $Name {
            param($vm)
            if ($vm.State -eq 'Off') { Write-Warning 'The virtual machine is already in the specified state.' }
            $vm.State = 'Off'
        }
    }
}

function Remove-VM {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Mandatory, Position = 0)] [string] $Name, [switch] $Force)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $(if (-not $Force) { $Name }) -Effect {
        Use-DoubleVM $PSCmdlet $Name -DoubleOff { $script:World.VM.Remove($Name) }
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
    [CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'NetAdapterName')]
    param(
        [Parameter(Mandatory, Position = 0)] [string] $Name,
        [Parameter(Mandatory, ParameterSetName = 'NetAdapterName')] [string[]] $NetAdapterName,
        [Parameter(Mandatory, ParameterSetName = 'SwitchType')] [ValidateSet('Internal', 'Private')] [string] $SwitchType
    )
    $null = $NetAdapterName
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Name -Effect { $script:World.Switch[$Name] = if ($SwitchType) { $SwitchType } else { 'External' } }
}

function Set-VMSwitch {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string[]] $Name, [ValidateSet('Internal', 'Private')] [string] $SwitchType)
    Use-Double $PSCmdlet $PSBoundParameters -Ask "$Name" -Effect {
        if (Test-DoubleSwitch $PSCmdlet "$Name") { $script:World.Switch["$Name"] = $SwitchType }
    }
}

function Remove-VMSwitch {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Mandatory, Position = 0)] [string] $Name, [switch] $Force)
    Use-Double $PSCmdlet $PSBoundParameters -Ask $(if (-not $Force) { $Name }) -Effect {
        if (Test-DoubleSwitch $PSCmdlet $Name) {
            $script:World.Switch.Remove($Name)
            $script:World.Address = @($script:World.Address | Where-Object { $_.InterfaceAlias -ne "vEthernet ($Name)" })
        }
    }
}

function New-VHD {
    [CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'DynamicWithoutSource')]
    param(
        [Parameter(Mandatory, Position = 0)] [string] $Path, [Parameter(Mandatory, Position = 1)] [uint64] $SizeBytes,
        [Parameter(ParameterSetName = 'DynamicWithoutSource')] [switch] $Dynamic, [Parameter(Mandatory, ParameterSetName = 'FixedWithoutSource')] [switch] $Fixed
    )
    $null = $Dynamic, $Fixed
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Path -Effect {
        if (Test-Path -LiteralPath $Path) {
            Write-DoubleError $PSCmdlet 'The file exists.'
        } elseif ($Path -notmatch '\.vhdx?$' -or $SizeBytes -lt 3MB -or -not (Test-Path -LiteralPath (Split-Path -Path $Path -Parent))) {
            Write-DoubleError $PSCmdlet 'Failed to create the virtual hard disk.'
        } else {
            Set-Content -LiteralPath $Path -Value 'secret'
        }
    }
}

function Mount-VHD {
    [CmdletBinding(SupportsShouldProcess)]
    param([Parameter(Mandatory, Position = 0)] [string] $Path, [switch] $NoDriveLetter, [switch] $ReadOnly, [switch] $PassThru)
    $null = $NoDriveLetter, $ReadOnly
    Use-Double $PSCmdlet $PSBoundParameters -Ask $Path -Effect {
        if (-not (Test-Path -LiteralPath $Path -PathType Leaf) -or $script:World.Disk.ContainsKey($Path)) {
            Write-DoubleError $PSCmdlet "Failed to mount the virtual disk '$Path'."
        } else {
            $script:World.Disk[$Path] = 'raw'
            if ($PassThru) { New-Row @{ Path = $Path } }
        }
    }
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

# -- ScheduledTasks (functions) ----------------------------------------------------------------------------------------
# [docs] Register-ScheduledTask has neither -WhatIf nor -Confirm; Unregister-ScheduledTask asks; a trigger is of one kind, a
# principal a user or a group. [seen] a task is registered once without -Force; a name has none of \ / : * ? " < > |.

function New-ScheduledTaskAction {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $Execute, [Parameter(Position = 1)] [string] $Argument)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { New-Row @{ Execute = $Execute; Arguments = $Argument } }
}

function New-ScheduledTaskTrigger {
    [CmdletBinding(DefaultParameterSetName = 'Once')]
    param(
        [Parameter(Mandatory, Position = 0, ParameterSetName = 'Once')] [switch] $Once,
        [Parameter(Mandatory, Position = 0, ParameterSetName = 'Daily')] [switch] $Daily, [Parameter(ParameterSetName = 'Daily')] [uint32] $DaysInterval = 1,
        [Parameter(Mandatory)] [datetime] $At
    )
    $null = $Once, $Daily
    # (Windows' own writes the time in UTC.)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { New-Row @{ StartBoundary = $At.ToUniversalTime().ToString('s') + 'Z'; DaysInterval = $DaysInterval; Enabled = $true } }
}

function New-ScheduledTaskPrincipal {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory, Position = 0)] [string] $UserId, [ValidateSet('Limited', 'Highest')] [string] $RunLevel,
        [ValidateSet('None', 'Password', 'S4U', 'Interactive', 'Group', 'ServiceAccount', 'InteractiveOrPassword')] [string] $LogonType
    )
    Use-Double $PSCmdlet $PSBoundParameters -Effect { New-Row @{ UserId = $UserId; LogonType = $LogonType; RunLevel = $RunLevel } }
}

function New-ScheduledTaskSettingsSet {
    [CmdletBinding()]
    param(
        [switch] $WakeToRun, [switch] $StartWhenAvailable, [switch] $AllowStartIfOnBatteries, [switch] $DontStopIfGoingOnBatteries,
        [timespan] $ExecutionTimeLimit, [ValidateSet('Parallel', 'Queue', 'IgnoreNew')] [string] $MultipleInstances
    )
    # [docs] without a limit, Windows ends a task after three days; 0 stands for none, and reads PT0S.
    $limit = if ($PSBoundParameters.ContainsKey('ExecutionTimeLimit')) { [System.Xml.XmlConvert]::ToString($ExecutionTimeLimit) } else { 'PT72H' }
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        New-Row @{
            Enabled = $true; WakeToRun = [bool]$WakeToRun; StartWhenAvailable = [bool]$StartWhenAvailable; ExecutionTimeLimit = $limit
            DisallowStartIfOnBatteries = -not $AllowStartIfOnBatteries; StopIfGoingOnBatteries = -not $DontStopIfGoingOnBatteries
            MultipleInstances = $MultipleInstances
        }
    }
}

function New-ScheduledTask {
    [CmdletBinding()]
    param($Action, $Trigger, $Principal, $Settings, [string] $Description)
    $null = $Description
    Use-Double $PSCmdlet $PSBoundParameters -Effect { New-Row @{ Actions = @($Action); Triggers = @($Trigger); Principal = $Principal; Settings = $Settings } }
}

function Get-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $TaskName)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Select-Double $PSCmdlet $script:World.Task $TaskName }
}

function Register-ScheduledTask {
    [CmdletBinding(DefaultParameterSetName = 'User')]
    param(
        [Parameter(Position = 0)] [string] $TaskName, [Parameter(Position = 1)] [string] $TaskPath = '\', [switch] $Force,
        [Parameter(Mandatory, Position = 2, ValueFromPipeline, ParameterSetName = 'Object')] $InputObject,
        [Parameter(Mandatory, Position = 2, ParameterSetName = 'User')] $Action
    )
    $null = $Action
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        if ($TaskName -match '[\\/:*?"<>|]') {
            Write-DoubleError $PSCmdlet 'The filename, directory name, or volume label syntax is incorrect.'
        } elseif ($script:World.Task.ContainsKey($TaskName) -and -not $Force) {
            Write-DoubleError $PSCmdlet 'Cannot create a file when that file already exists.'
        } else {
            $script:World.Task[$TaskName] = New-Row @{
                TaskName = $TaskName; TaskPath = $TaskPath; Actions = $InputObject.Actions; Triggers = $InputObject.Triggers
                Principal = $InputObject.Principal; Settings = $InputObject.Settings
            }
        }
    }
}

function Unregister-ScheduledTask {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Position = 0)] [string[]] $TaskName, [Parameter(Position = 1)] [string[]] $TaskPath)
    $null = $TaskPath
    Use-Double $PSCmdlet $PSBoundParameters -Ask "$TaskName" -Effect {
        if (Select-Double $PSCmdlet $script:World.Task "$TaskName") { $script:World.Task.Remove("$TaskName") }
    }
}

# -- what tells of the host itself -------------------------------------------------------------------------------------
# [docs] CimCmdlets are binary; memory is in KiB, a build is a text. Of a processor that runs a hypervisor, Windows says that
# virtualisation is off in the firmware [seen].

function Get-CimInstance {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $ClassName)
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        switch ($ClassName) {
            'Win32_OperatingSystem' { New-Row $script:World.System }
            'Win32_ComputerSystem' { New-Row $script:World.Computer }
            'Win32_Processor' { New-Row $script:World.Processor }
            default { Write-DoubleError $PSCmdlet 'Invalid class' }
        }
    }
}

function Get-Service {
    [CmdletBinding()]
    param([Parameter(Position = 0)] [string] $Name)
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        $all = @{}
        foreach ($one in $script:World.Service.Keys) { $all[$one] = New-Row @{ Name = $one; Status = $script:World.Service[$one] } }
        Select-Double $PSCmdlet $all $Name
    }
}

function Get-ExecutionPolicy {
    [CmdletBinding()]
    param([ValidateSet('MachinePolicy', 'UserPolicy', 'Process', 'CurrentUser', 'LocalMachine')] [string] $Scope)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { if ($Scope -eq 'MachinePolicy') { $script:World.Policy } else { 'Undefined' } }
}

# -- what PowerShell on Linux lacks ------------------------------------------------------------------------------------

function Get-Acl {
    # The owner and the rights as icacls.exe, the double, has set them.
    [CmdletBinding()]
    param([string] $LiteralPath)
    $kept = Join-Path $script:World.Place "owner-$(stat -c %i $LiteralPath)"
    $owner = if (Test-Path $kept) { (Get-Content $kept).Trim('*') } else { 'S-1-5-21-1-2-3-500' }
    $granted = @(Get-Content (Join-Path $script:World.Place 'grants') | Where-Object { $_ -like "$(stat -c %i $LiteralPath) *" })
    $rule = foreach ($one in $granted) {
        if ($one -match '\*(S-[0-9-]+):((\(OI\)\(CI\))?)([MRN])$') {
            New-Row @{
                IdentityReference = New-Row @{ Value = $Matches[1] }; InheritanceFlags = if ($Matches[2]) { 3 } else { 0 }
                FileSystemRights = @{ M = 0x1301bf; R = 0x120089; N = 0x1f01ff }[$Matches[4]]; AccessControlType = if ($Matches[4] -eq 'N') { 'Deny' } else { 'Allow' }
            }
        }
    }
    $acl = New-Row @{ Owner = $owner; Rule = @($rule) }
    Add-Member -InputObject $acl -MemberType ScriptMethod -Name GetAccessRules -Value { param($Own, $Inherited, $Type) $null = $Own, $Inherited, $Type; $this.Rule }
    Add-Member -InputObject $acl -MemberType ScriptMethod -Name GetOwner -Value { param($Type) $null = $Type; New-Object -TypeName psobject -Property @{ Value = $this.Owner } } -PassThru
}
