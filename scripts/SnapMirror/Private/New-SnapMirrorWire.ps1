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
    if (-not (Get-VMSwitch | Where-Object -Property Name -EQ -Value $name)) {
        $null = New-VMSwitch -Name $name -SwitchType Internal
    }
    # Windows shows the adapter of a switch a moment after it is made.
    for ($attempt = 0; -not ($interface = Get-NetAdapter | Where-Object -Property Name -EQ -Value "vEthernet ($name)"); $attempt++) {
        if ($attempt -gt 19) {
            throw "the adapter 'vEthernet ($name)' of the switch $name does not appear"
        }
        Start-Sleep -Seconds 1
    }
    if (-not (Get-NetIPAddress | Where-Object { $_.InterfaceIndex -eq $interface.InterfaceIndex -and $_.IPAddress -eq $Setting.HostAddress })) {
        $null = New-NetIPAddress -InterfaceIndex $interface.InterfaceIndex -IPAddress $Setting.HostAddress -PrefixLength 24
    }
    if (-not (Get-NetFirewallRule | Where-Object -Property Name -EQ -Value $name)) {
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
