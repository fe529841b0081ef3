function Get-SnapMirrorSeedFile {
    # The files of which the seed disk is made: the folder of the seed, and the secrets.
    [CmdletBinding()]
    [OutputType([string[]])]
    param()

    $root = Get-SnapMirrorHome
    Join-Path -Path $root -ChildPath 'seed'
    (Get-SnapMirrorSeedSecret).Values | Sort-Object | ForEach-Object -Process { Join-Path -Path $root -ChildPath $_ }
}
