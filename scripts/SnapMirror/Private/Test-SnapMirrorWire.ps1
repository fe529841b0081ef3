function Test-SnapMirrorWire {
    # Whether switch, address and firewall rule are there, as New-SnapMirrorWire makes them.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [hashtable] $Setting
    )

    $name = $Setting.WireName
    [bool](
        (Get-VMSwitch | Where-Object { $_.Name -eq $name -and "$($_.SwitchType)" -eq 'Internal' }) -and
        (Get-NetIPAddress | Where-Object { $_.InterfaceAlias -eq "vEthernet ($name)" -and $_.IPAddress -eq $Setting.HostAddress -and $_.PrefixLength -eq 24 }) -and
        (Test-SnapMirrorRule -Setting $Setting)
    )
}
