function Test-SnapMirrorShare {
    # Whether the folder is shared under that name, encrypted, for that account alone.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [string] $Name,
        [Parameter(Mandatory)] [string] $Path,
        [Parameter(Mandatory)] [string] $Account
    )

    $share = Get-SmbShare | Where-Object -Property Name -EQ -Value $Name
    if (-not $share -or $share.Path -ne $Path -or -not $share.EncryptData -or "$($share.CachingMode)" -ne 'None') {
        return $false
    }
    $access = @(Get-SmbShareAccess -Name $Name)
    $access.Count -eq 1 -and $access[0].AccountName -eq "$env:COMPUTERNAME\$Account" -and
        "$($access[0].AccessControlType) $($access[0].AccessRight)" -eq 'Allow Change'
}
