function Test-SnapMirrorAccount {
    # Whether the account is there as New-SnapMirrorAccount makes it, and the file with its password.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [string] $Name
    )

    $user = Get-SnapMirrorAccount -Name $Name
    [bool]($user -and $user.Enabled -and -not $user.PasswordExpires -and -not $user.AccountExpires -and
        -not $user.UserMayChangePassword -and $user.Description -and (Test-Path -LiteralPath (Join-Path (Get-SnapMirrorHome) 'smb.cred')))
}
