function Test-SnapMirrorLogon {
    # Whether all four rights to log on are denied to the account.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [string] $Name
    )

    $user = Get-SnapMirrorAccount -Name $Name
    if (-not $user) {
        return $false
    }
    $right = Get-SnapMirrorRight
    @($right.Keys | Where-Object { $right[$_] -notcontains "*$($user.SID.Value)" -and $right[$_] -notcontains $Name }).Count -eq 0
}
