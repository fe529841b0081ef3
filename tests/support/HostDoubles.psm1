# Doubles of what the scripts in snapmirror/windows/scripts ask Windows, beside those of WindowsDoubles.psm1, whose ways
# they follow: the calls are recorded there, and Set-DoubleBreak lets one fail.
#
# Names and types of what they give are from Microsoft's reference: the classes MSFT_SmbSession, MSFT_SmbOpenFile,
# MSFT_SmbServerConfiguration and Win32_Share; Write-EventLog and New-EventLog (binary, 5.1 only) from
# Microsoft.PowerShell.Management.
Set-StrictMode -Version 2.0
$script:World = $null

function Set-HostWorld {
    # What this Windows has, as JSON gave it.
    param($World)
    $script:World = $World
}

function Get-HostRow {
    # What the world has under a name: of a list, each table as an object.
    param([string] $Name)
    $list = $script:World.PSObject.Properties[$Name]
    if ($list) { $list.Value }
}

function Get-CimInstance {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $ClassName)
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        if ($ClassName -eq 'Win32_Share') { Get-HostRow 'shares' } else { Write-DoubleError $PSCmdlet 'Invalid class' }
    }
}

function Get-SmbServerConfiguration {
    [CmdletBinding()]
    param()
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Get-HostRow 'server' }
}

function Get-SmbOpenFile {
    [CmdletBinding()]
    param()
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Get-HostRow 'opened' }
}

function Get-SmbSession {
    [CmdletBinding()]
    param()
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Get-HostRow 'sessions' }
}

function Get-Item {
    # A file as it is, but with the attributes that no file system of Linux has.
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $LiteralPath, [switch] $Force)
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        $real = Microsoft.PowerShell.Management\Get-Item -LiteralPath $LiteralPath -Force:$Force
        $given = $script:World.attributes.$(if ($real.PSIsContainer) { 'folder' } else { 'image' })
        $length = if ($real.PSIsContainer) { $null } else { $real.Length }
        New-Row @{ Length = $length; Attributes = [System.IO.FileAttributes]$given }
    }
}

function New-EventLog {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [string] $LogName, [Parameter(Mandatory, Position = 1)] [string[]] $Source)
    $null = $LogName, $Source
    Use-Double $PSCmdlet $PSBoundParameters -Effect { }
}

function Write-EventLog {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory, Position = 0)] [string] $LogName, [Parameter(Mandatory, Position = 1)] [string] $Source,
        [Parameter(Mandatory, Position = 2)] [ValidateRange(0, 65535)] [int] $EventId,
        [Parameter(Position = 3)] [ValidateSet('Error', 'Information', 'FailureAudit', 'SuccessAudit', 'Warning')] [string] $EntryType = 'Information',
        [Parameter(Mandatory, Position = 4)] [ValidateLength(0, 32766)] [string] $Message
    )
    $null = $EventId, $EntryType, $Message
    Use-Double $PSCmdlet $PSBoundParameters -Effect {
        if (-not (Get-HostRow 'event_source')) {
            Write-DoubleError $PSCmdlet "The source name ""$Source"" does not exist on computer ""localhost""."
        }
    }
}

function Start-Sleep {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0)] [double] $Seconds)
    Use-Double $PSCmdlet $PSBoundParameters -Effect { Microsoft.PowerShell.Utility\Start-Sleep -Milliseconds 300 }
}
