function Remove-SnapMirrorSeedDisk {
    # Take the seed away from the VM, which has copied what it needs, and wipe it: it holds secrets.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $VMName
    )

    $path = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'VM/seed.vhdx'
    if (-not $PSCmdlet.ShouldProcess($path, 'take the seed disk away, and wipe it')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $whole = [System.IO.Path]::GetFullPath($path)
    try {
        foreach ($drive in @(Get-VMHardDiskDrive -VMName $VMName -ErrorAction Ignore | Where-Object -Property Path -EQ -Value $whole)) {
            Remove-VMHardDiskDrive -VMHardDiskDrive $drive
        }
    } finally {
        if (Test-Path -LiteralPath $path) {
            Dismount-VHD -Path $path -ErrorAction Ignore # it is not mounted, unless making it was broken off
        }
        Clear-SnapMirrorFile -Path $path
    }
}
