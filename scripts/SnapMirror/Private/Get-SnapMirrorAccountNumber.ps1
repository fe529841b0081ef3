function Get-SnapMirrorAccountNumber {
    # The SIDs that the account has, or had: what is written down of it stays true when it is gone, or was made again.
    [CmdletBinding()]
    [OutputType([string[]])]
    param(
        [Parameter(Mandatory)] [string] $Account,
        [AllowNull()] [AllowEmptyCollection()] [string[]] $Known
    )

    $user = Get-SnapMirrorAccount -Name $Account
    @($Known; if ($user) { $user.SID.Value }) | Where-Object { $_ } | Select-Object -Unique
}
