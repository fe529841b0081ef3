function Revoke-SnapMirrorFolder {
    # Take the account's rights to a folder away again, if both are there. (New-SnapMirrorShare and New-SnapMirrorFolder give
    # them; an account that is gone would stay in the list as a number.)
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [string] $Path,
        [Parameter(Mandatory)] [string] $Account
    )

    $user = Get-SnapMirrorAccount -Name $Account
    if ($user -and (Test-Path -LiteralPath $Path)) {
        $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument $Path, '/remove', "*$($user.SID.Value)"
    }
}
