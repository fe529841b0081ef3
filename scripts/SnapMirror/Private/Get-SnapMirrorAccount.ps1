function Get-SnapMirrorAccount {
    # The local account, or nothing. Looked for in the list: a name that is not there would be an error.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [string] $Name
    )

    Get-LocalUser | Where-Object -Property Name -EQ -Value $Name
}
