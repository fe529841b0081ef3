function Test-SnapMirrorRule {
    # Whether a firewall rule lets the VM, and nobody else, in to SMB.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [hashtable] $Setting
    )

    $rule = Get-NetFirewallRule | Where-Object -Property Name -EQ -Value $Setting.WireName
    if (-not $rule -or "$($rule.Enabled) $($rule.Direction) $($rule.Action) $($rule.Profile)" -ne 'True Inbound Allow Any') {
        return $false
    }
    $address = Get-NetFirewallAddressFilter -AssociatedNetFirewallRule $rule
    $port = Get-NetFirewallPortFilter -AssociatedNetFirewallRule $rule
    # (Windows may write one address as a network of one.)
    $found = @($address.RemoteAddress; $address.LocalAddress) -replace '/(32|255\.255\.255\.255)$'
    "$found $($port.Protocol) $($port.LocalPort)" -eq "$($Setting.Address) $($Setting.HostAddress) TCP 445"
}
