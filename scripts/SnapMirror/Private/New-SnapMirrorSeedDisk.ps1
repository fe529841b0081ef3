function New-SnapMirrorSeedDisk {
    # A small FAT disk with the files of the seed, the secrets, and the label by which the VM knows it.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Path
    )

    if (-not $PSCmdlet.ShouldProcess($Path, 'make the disk that configures the VM')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $root = Get-SnapMirrorHome
    $seed = Join-Path -Path $root -ChildPath 'seed'
    $null = New-VHD -Path $Path -SizeBytes 64mb -Dynamic
    try {
        $disk = Mount-VHD -Path $Path -Passthru | Get-Disk
        $null = Initialize-Disk -Number $disk.Number -PartitionStyle MBR
        $partition = New-Partition -DiskNumber $disk.Number -UseMaximumSize -AssignDriveLetter
        $null = Format-Volume -Partition $partition -FileSystem FAT -NewFileSystemLabel 'SNAPSEED'
        Copy-Item -Path (Join-Path $seed '*') -Destination "$($partition.DriveLetter):\" -Recurse
        $secret = Get-SnapMirrorSeedSecret
        foreach ($name in $secret.Keys) {
            $kept = Join-Path -Path $root -ChildPath $secret[$name]
            if (Test-Path -LiteralPath $kept) {
                Copy-Item -LiteralPath $kept -Destination "$($partition.DriveLetter):\$name"
            }
        }
    } finally {
        Dismount-VHD -Path $Path
    }
}
