function Test-SnapMirrorShare {
    # Whether the folder is shared under that name, encrypted.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [string] $Name,
        [Parameter(Mandatory)] [string] $Path
    )

    $share = Get-SmbShare | Where-Object -Property Name -EQ -Value $Name
    [bool]($share -and $share.Path -eq $Path -and $share.EncryptData)
}
