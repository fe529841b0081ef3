function Test-SnapMirrorFolder {
    # Whether the folder is there, and the account may change what is in it.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [string] $Path,
        [Parameter(Mandatory)] [string] $Account
    )

    $user = Get-SnapMirrorAccount -Name $Account
    if (-not $user -or -not (Test-Path -LiteralPath $Path -PathType Container)) {
        return $false
    }
    # By number, as icacls.exe has set them: 0x301bf is M, 3 stands for (OI)(CI).
    $rule = @((Get-Acl -LiteralPath $Path).GetAccessRules($true, $false, [System.Security.Principal.SecurityIdentifier]) |
        Where-Object { $_.IdentityReference.Value -eq $user.SID.Value })
    $allowed = @($rule | Where-Object { "$($_.AccessControlType)" -eq 'Allow' -and ([int]$_.FileSystemRights -band 0x301bf) -eq 0x301bf -and [int]$_.InheritanceFlags -eq 3 })
    $allowed.Count -gt 0 -and @($rule | Where-Object { "$($_.AccessControlType)" -eq 'Deny' }).Count -eq 0
}
