function Assert-SnapMirrorNoOrphan {
    # For an account that is gone, of an installation that did not write its number down: an error if the policy denies all
    # four rights to a number that is no account's. That may be it; to take another's away is not ours.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [hashtable] $Right,
        [Parameter(Mandatory)] [string] $Account
    )

    $there = @(Get-LocalUser | ForEach-Object -Process { "*$($_.SID.Value)" })
    $number = @($Right.Values | ForEach-Object -Process { $_ } | Where-Object { $_ -like '*S-1-5-21-*' -and $there -notcontains $_ } | Group-Object)
    $ours = @($number | Where-Object -Property Count -EQ -Value $Right.Count | ForEach-Object -Process { $_.Name })
    if ($ours) {
        throw "The account $Account is gone, and its number is not known. The policy denies four rights to log on to ${ours}: " +
            "if that was it, take it away under 'User Rights Assignment' in secpol.msc, and call this again."
    }
}
