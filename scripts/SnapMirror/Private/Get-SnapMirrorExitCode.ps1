function Get-SnapMirrorExitCode {
    # The number of an exit code of snapmirror, by its name.
    [CmdletBinding()]
    [OutputType([int])]
    param(
        [Parameter(Mandatory)] [string] $Name
    )

    $known = (Get-SnapMirrorContract).ExitCode
    [int]($known.Keys | Where-Object { $known[$_] -eq $Name })
}
