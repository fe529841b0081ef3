function Start-SnapMirrorSeed {
    # Start the VM with the newest configuration, and take the disk that brings it away again, whatever has happened.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $VMName
    )

    if (-not $PSCmdlet.ShouldProcess($VMName, 'start the VM with its configuration')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $vm = Get-VM | Where-Object -Property Name -EQ -Value $VMName
    if ($vm.State -ne 'Off') {
        $null = Stop-VM -Name $VMName -Force -WarningAction SilentlyContinue
    }
    Remove-SnapMirrorSeedDisk -VMName $VMName
    $seed = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'VM/seed.vhdx'
    try {
        New-SnapMirrorSeedDisk -Path $seed
        $null = Add-VMHardDiskDrive -VMName $VMName -Path $seed
        $null = Start-VM -Name $VMName
        Wait-SnapMirrorVM
    } finally {
        Remove-SnapMirrorSeedDisk -VMName $VMName
    }
}
