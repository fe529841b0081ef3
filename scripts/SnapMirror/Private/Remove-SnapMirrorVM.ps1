function Remove-SnapMirrorVM {
    # Shut the VM down, and remove it with its disk.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Name
    )

    if (-not $PSCmdlet.ShouldProcess($Name, 'shut the VM down, and remove it with its disk')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $vm = Get-VM | Where-Object -Property Name -EQ -Value $Name
    if ($vm) {
        if ($vm.State -ne 'Off') {
            $null = Stop-VM -Name $Name -Force -WarningAction SilentlyContinue
        }
        Remove-VM -Name $Name -Force
    }
    Remove-SnapMirrorFile -Path (Join-Path (Get-SnapMirrorHome) 'VM')
}
