function New-SnapMirrorSeedDisk {
    # A small FAT disk with the files of the seed and the label by which the VM knows it.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Path
    )

    if (-not $PSCmdlet.ShouldProcess($Path, 'make the disk that configures the VM')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $seed = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'seed'
    $null = New-VHD -Path $Path -SizeBytes 64mb -Dynamic
    try {
        $disk = Mount-VHD -Path $Path -Passthru | Get-Disk
        $null = Initialize-Disk -Number $disk.Number -PartitionStyle MBR
        $partition = New-Partition -DiskNumber $disk.Number -UseMaximumSize -AssignDriveLetter
        $null = Format-Volume -Partition $partition -FileSystem FAT -NewFileSystemLabel 'SNAPSEED'
        Copy-Item -Path (Join-Path $seed '*') -Destination "$($partition.DriveLetter):\" -Recurse
    } finally {
        Dismount-VHD -Path $Path
    }
}
