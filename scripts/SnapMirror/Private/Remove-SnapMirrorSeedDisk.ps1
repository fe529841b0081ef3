function Remove-SnapMirrorSeedDisk {
    # Take the seed away from the VM, which has copied what it needs, and wipe it: it holds secrets.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $VMName
    )

    $path = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'VM\seed.vhdx'
    if (-not $PSCmdlet.ShouldProcess($path, 'take the seed disk away, and wipe it')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    Get-VMHardDiskDrive -VMName $VMName -ErrorAction SilentlyContinue | Where-Object Path -eq $path | Remove-VMHardDiskDrive
    Clear-SnapMirrorFile -Path $path
}
