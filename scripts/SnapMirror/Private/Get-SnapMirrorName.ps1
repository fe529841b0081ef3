function Get-SnapMirrorName {
    # The names that an installation takes: what has it, where it is, by which step it is made, which argument has another.
    [CmdletBinding()]
    [OutputType([hashtable[]])]
    param()

    @{ Check = 'Account'; Kind = 'an account'; Step = 'account'; Setting = 'Account'; All = { Get-LocalUser | ForEach-Object { $_.Name } }; Remedy = 'Take another -Account.' }
    @{ Check = 'Group'; Kind = 'a group'; Setting = 'Account'; All = { Get-LocalGroup | ForEach-Object { $_.Name } }; Remedy = 'No account can have its name: take another -Account.' }
    @{ Check = 'Share'; Kind = 'a share'; Step = 'share'; Setting = 'ShareName'; All = { 'pipe', 'mailslot'; Get-SmbShare | ForEach-Object { $_.Name } }; Remedy = 'Take another -ShareName.' }
    @{ Check = 'VM'; Kind = 'a VM'; Step = 'vm'; Setting = 'VMName'; All = { Get-VM | ForEach-Object { $_.Name } }; Remedy = 'Take another -VMName.' }
    @{ Check = 'Wire'; Kind = 'a switch'; Step = 'wire'; Setting = 'WireName'; All = { Get-VMSwitch | ForEach-Object { $_.Name } }; Remedy = 'Rename it.' }
    @{ Check = 'Firewall rule'; Kind = 'a firewall rule'; Step = 'wire'; Setting = 'WireName'; All = { Get-NetFirewallRule | ForEach-Object { $_.Name } }; Remedy = 'Remove it, or make it anew with another name.' }
    @{ Check = 'Task'; Kind = 'a task'; Step = 'task'; Setting = 'TaskName'; All = { Get-ScheduledTask | ForEach-Object { $_.TaskName } }; Remedy = 'Rename it.' }
}
