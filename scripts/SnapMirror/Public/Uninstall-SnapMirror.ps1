function Uninstall-SnapMirror {
    <#
    .SYNOPSIS
        Takes everything away that Install-SnapMirror has made, except backups and keys.
    .DESCRIPTION
        Removes the scheduled task, the VM with its disk, the internal switch, the firewall rule, the share and the
        account. The folder of the image is not touched, nor C:\ProgramData\SnapMirror with image.key, image.luks-header
        and the seed: with these, and the image, everything can be read again. They are named in the output.

        A night that runs is asked to end first, as at any shutdown of the VM.
    .PARAMETER Force
        Do not ask.
    .EXAMPLE
        Uninstall-SnapMirror -WhatIf

        Says what would be removed.
    .EXAMPLE
        Uninstall-SnapMirror -Force

        Removes it without a question.
    .OUTPUTS
        System.IO.FileSystemInfo: what stays.
    .LINK
        Install-SnapMirror
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType([System.IO.FileSystemInfo])]
    param(
        [switch] $Force
    )

    if ($Force) {
        $ConfirmPreference = 'None'
    }
    $setting = Get-SnapMirrorSetting
    $root = Get-SnapMirrorHome
    $quiet = @{ ErrorAction = 'SilentlyContinue' }
    if ($PSCmdlet.ShouldProcess($setting.TaskName, 'remove the scheduled task')) {
        Unregister-ScheduledTask -TaskName $setting.TaskName -Confirm:$false @quiet
        Remove-Item -LiteralPath (Join-Path $root 'Module') -Recurse -Force -Confirm:$false @quiet
    }
    if ($PSCmdlet.ShouldProcess($setting.VMName, 'shut the VM down, and remove it with its disk')) {
        Stop-VM -Name $setting.VMName -Force -Confirm:$false @quiet
        Remove-VM -Name $setting.VMName -Force -Confirm:$false @quiet
        Remove-Item -LiteralPath (Join-Path $root 'VM') -Recurse -Force -Confirm:$false @quiet
    }
    if ($PSCmdlet.ShouldProcess($setting.WireName, 'remove the internal switch and its firewall rule')) {
        Remove-NetFirewallRule -Name $setting.WireName -Confirm:$false @quiet
        Remove-VMSwitch -Name $setting.WireName -Force -Confirm:$false @quiet
    }
    if ($PSCmdlet.ShouldProcess($setting.ShareName, 'remove the share; its folder stays')) {
        Remove-SmbShare -Name $setting.ShareName -Force -Confirm:$false @quiet
    }
    if ($PSCmdlet.ShouldProcess($setting.Account, 'remove the local account')) {
        Remove-LocalUser -Name $setting.Account -Confirm:$false @quiet
    }
    Get-Item -LiteralPath $setting.SharePath, $root
}
