function New-SnapMirrorWire {
    # A network of two: Windows and the VM. SMB is let in from there only.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [hashtable] $Setting
    )

    $name = $Setting.WireName
    if (-not $PSCmdlet.ShouldProcess($name, "make the internal switch $($Setting.HostAddress), and let the VM in to SMB")) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $switch = Get-VMSwitch | Where-Object -Property Name -EQ -Value $name
    if (-not $switch) {
        $null = New-VMSwitch -Name $name -SwitchType Internal
    } elseif ("$($switch.SwitchType)" -ne 'Internal') {
        $null = Set-VMSwitch -Name $name -SwitchType Internal
    }
    # Windows shows the adapter of a switch a moment after it is made.
    for ($attempt = 0; -not ($interface = Get-NetAdapter | Where-Object -Property Name -EQ -Value "vEthernet ($name)"); $attempt++) {
        if ($attempt -gt 19) {
            throw "the adapter 'vEthernet ($name)' of the switch $name does not appear"
        }
        Start-Sleep -Seconds 1
    }
    $address = Get-NetIPAddress | Where-Object { $_.InterfaceIndex -eq $interface.InterfaceIndex -and $_.IPAddress -eq $Setting.HostAddress }
    if (-not $address) {
        $null = New-NetIPAddress -InterfaceIndex $interface.InterfaceIndex -IPAddress $Setting.HostAddress -PrefixLength 24
    } elseif ($address.PrefixLength -ne 24) {
        $null = Set-NetIPAddress -InterfaceIndex $interface.InterfaceIndex -IPAddress $Setting.HostAddress -PrefixLength 24
    }
    if (-not (Test-SnapMirrorRule -Setting $Setting)) {
        # One that somebody has changed is made anew: it is all ours.
        Get-NetFirewallRule | Where-Object -Property Name -EQ -Value $name | ForEach-Object -Process { Remove-NetFirewallRule -Name $_.Name }
        $rule = @{
            Name          = $name
            DisplayName   = 'snapmirror: its VM may reach the share'
            Direction     = 'Inbound'
            Protocol      = 'TCP'
            LocalPort     = 445
            LocalAddress  = $Setting.HostAddress
            RemoteAddress = $Setting.Address
            Action        = 'Allow'
        }
        $null = New-NetFirewallRule @rule
    }
}
