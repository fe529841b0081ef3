function Get-SnapMirrorHostSetting {
    # The settings of an installation with these arguments: what the other commands, and the steps, need to know.
    [CmdletBinding()]
    [OutputType([hashtable])]
    param(
        [Parameter(Mandatory)] [hashtable] $Argument
    )

    $network = $Argument['Network']
    $setting = @{
        VMName      = $Argument['VMName']
        User        = 'root'
        Address     = "$network.2"
        HostAddress = "$network.1"
        MacAddress  = '00155D' + (($network.Split('.') | ForEach-Object -Process { '{0:X2}' -f [int]$_ }) -join '')
        SharePath   = $Argument['SharePath']
        ShareName   = $Argument['ShareName']
        Account     = $Argument['Account']
        TaskName    = 'SnapMirror'
        WireName    = 'SnapMirror'
    }
    $setting
}
