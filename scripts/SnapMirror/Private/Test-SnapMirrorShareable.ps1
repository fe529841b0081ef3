function Test-SnapMirrorShareable {
    # Whether Windows can share a folder with this path: New-SmbShare takes none with letters of a pattern.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [string] $Path
    )

    $Path -notmatch '[][*?]'
}
