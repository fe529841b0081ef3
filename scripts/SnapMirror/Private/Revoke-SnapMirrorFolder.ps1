function Revoke-SnapMirrorFolder {
    # Take the rights to a folder away again from accounts, named by their numbers: one that is gone has its rights still.
    # (New-SnapMirrorShare and New-SnapMirrorFolder give them.)
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [string] $Path,
        [AllowNull()] [AllowEmptyCollection()] [string[]] $Sid
    )

    if (Test-Path -LiteralPath $Path) {
        foreach ($one in @($Sid | Where-Object { $_ })) {
            $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument $Path, '/remove', "*$one"
        }
    }
}
