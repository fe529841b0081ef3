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
    if (-not (Get-VMSwitch -Name $name -ErrorAction SilentlyContinue)) {
        $null = New-VMSwitch -Name $name -SwitchType Internal
    }
    $interface = Get-NetAdapter -Name "vEthernet ($name)"
    if (-not (Get-NetIPAddress -InterfaceIndex $interface.InterfaceIndex -IPAddress $Setting.HostAddress -ErrorAction SilentlyContinue)) {
        $null = New-NetIPAddress -InterfaceIndex $interface.InterfaceIndex -IPAddress $Setting.HostAddress -PrefixLength 24
    }
    if (-not (Get-NetFirewallRule -Name $name -ErrorAction SilentlyContinue)) {
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
