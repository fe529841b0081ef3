"""What PowerShell 5.1 and Windows' own modules offer, as far as we use it: cmdlets and their parameters.

From Microsoft's reference (PowerShell 5.1; Windows Server 2016 and later). Only here to catch a name that does not
exist, or does not in 5.1: whoever calls something new looks it up there, and adds it.
"""

from __future__ import annotations

# Of every cmdlet, and of every function with CmdletBinding.
COMMON = frozenset(
    ("ErrorAction", "ErrorVariable", "WarningAction", "Verbose", "Debug", "OutVariable", "WarningVariable")
)

_USED = """
    Add-Member: InputObject MemberType Name Value
    Add-Type: MemberDefinition Name Namespace
    Add-VMHardDiskDrive: Path VMName
    Add-VMNetworkAdapter: Name StaticMacAddress SwitchName VMName
    Connect-VMNetworkAdapter: Name SwitchName VMName
    ConvertFrom-Json: InputObject
    ConvertTo-Json: Compress Depth InputObject
    Copy-Item: Destination Exclude Force LiteralPath Path Recurse
    Dismount-VHD: Path
    Enable-LocalUser: Name
    ForEach-Object: Process
    Format-Volume: FileSystem NewFileSystemLabel Partition
    Get-Acl: LiteralPath
    Get-ChildItem: CodeSigningCert File Filter LiteralPath Path Recurse
    Get-CimInstance: ClassName
    Get-Command: CommandType Module Name
    Get-Content: Encoding LiteralPath Raw
    Get-Date:
    Get-Disk:
    Get-ExecutionPolicy: Scope
    Get-FileHash: LiteralPath
    Get-Item: Force LiteralPath Path
    Get-ItemProperty: LiteralPath
    Get-Location: PSProvider
    Get-LocalGroup: Name
    Get-LocalUser: Name
    Get-Module: Name ListAvailable
    Get-NetAdapter: Name
    Get-NetFirewallAddressFilter: AssociatedNetFirewallRule
    Get-NetFirewallPortFilter: AssociatedNetFirewallRule
    Get-NetFirewallRule: Name
    Get-NetIPAddress: IPAddress InterfaceIndex
    Get-ScheduledTask:
    Get-ScheduledTaskInfo: TaskName
    Get-Service: Name
    Get-SmbShare: Name
    Get-SmbShareAccess: Name
    Get-VM: Name
    Get-VMFirmware: VMName
    Get-VMHardDiskDrive: VMName
    Get-VMMemory: VMName
    Get-VMNetworkAdapter: VMName
    Get-VMSwitch: Name
    Get-Volume: FilePath
    Group-Object: Property
    Import-Module: Name PassThru ErrorAction
    Import-PowerShellDataFile: Path
    Import-Module: Name
    Initialize-Disk: Number PartitionStyle
    Join-Path: ChildPath Path
    Mount-VHD: Passthru Path
    Move-Item: Destination Force LiteralPath
    New-Item: Confirm Force ItemType Path
    New-LocalUser: AccountNeverExpires Description Name Password PasswordNeverExpires UserMayNotChangePassword
    New-NetFirewallRule: Action Direction DisplayName LocalAddress LocalPort Name Protocol RemoteAddress
    New-NetIPAddress: IPAddress InterfaceIndex PrefixLength
    New-Object: ArgumentList Property TypeName
    New-Partition: AssignDriveLetter DiskNumber UseMaximumSize
    New-ScheduledTask: Action Description Principal Settings Trigger
    New-ScheduledTaskAction: Argument Execute
    New-ScheduledTaskPrincipal: LogonType RunLevel UserId
    New-ScheduledTaskSettingsSet: AllowStartIfOnBatteries DontStopIfGoingOnBatteries ExecutionTimeLimit
    New-ScheduledTaskSettingsSet: MultipleInstances StartWhenAvailable WakeToRun
    New-ScheduledTaskTrigger: At Daily DaysInterval
    New-SmbShare: CachingMode ChangeAccess Description EncryptData Name Path
    New-VHD: Dynamic Path SizeBytes
    New-VM: Generation MemoryStartupBytes Name Path SwitchName VHDPath
    New-VMSwitch: Name SwitchType
    Out-Null:
    Out-String: Width
    Read-Host: Prompt
    Receive-Job: AutoRemoveJob Job Wait
    Register-ArgumentCompleter: CommandName ParameterName ScriptBlock
    Register-ScheduledTask: Force InputObject TaskName
    Remove-Item: Confirm Force LiteralPath Recurse
    Remove-LocalUser: Confirm Name
    Remove-NetFirewallRule: Confirm Name
    Remove-SmbShare: Confirm Force Name
    Remove-VM: Confirm Force Name
    Remove-VMHardDiskDrive: VMHardDiskDrive
    Remove-VMSwitch: Confirm Force Name
    Resolve-Path: LiteralPath
    Select-Object: ExpandProperty First Skip Unique
    Set-AuthenticodeSignature: Certificate HashAlgorithm LiteralPath TimestampServer
    Set-Content: Encoding LiteralPath Value
    Set-LocalUser: AccountNeverExpires Description Name Password PasswordNeverExpires UserMayChangePassword
    Set-NetIPAddress: IPAddress InterfaceIndex PrefixLength
    Set-SmbShare: CachingMode EncryptData Force Name SecurityDescriptor
    Set-StrictMode: Version
    Set-VM: AutomaticStartAction AutomaticStopAction CheckpointType Name ProcessorCount
    Set-VMFirmware: EnableSecureBoot VMName
    Set-VMMemory: DynamicMemoryEnabled VMName
    Set-VMNetworkAdapter: Name StaticMacAddress VMName
    Set-VMSwitch: Name SwitchType
    Sort-Object: Property
    Split-Path: Parent Path
    Start-Job: ArgumentList ScriptBlock
    Start-Process: ArgumentList FilePath
    Start-Sleep: Seconds
    Start-VM: Confirm Name VM
    Stop-VM: Confirm Force Name
    TabExpansion2: cursorColumn inputScript
    Test-ModuleManifest: Path
    Test-Path: LiteralPath PathType
    Unregister-ScheduledTask: Confirm TaskName TaskPath
    Where-Object: EQ FilterScript NE Property Value eq lt like
    Write-Host:
    Write-Information: MessageData
    Write-Progress: Activity Completed PercentComplete Status
    Write-Verbose: Message
    Write-Warning: Message
"""

WINDOWS: dict[str, set[str]] = {}
for _line in _USED.strip().splitlines():
    _name, _, _parameters = _line.strip().partition(":")
    WINDOWS.setdefault(_name, set()).update(_parameters.split())
