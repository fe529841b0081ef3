function Test-SnapMirrorWire {
    # Whether switch, address and firewall rule are there.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [hashtable] $Setting
    )

    $name = $Setting.WireName
    [bool](
        (Get-VMSwitch | Where-Object -Property Name -EQ -Value $name) -and
        (Get-NetIPAddress | Where-Object { $_.InterfaceAlias -eq "vEthernet ($name)" -and $_.IPAddress -eq $Setting.HostAddress }) -and
        (Get-NetFirewallRule | Where-Object -Property Name -EQ -Value $name)
    )
}
