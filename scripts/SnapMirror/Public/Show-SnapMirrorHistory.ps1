function Show-SnapMirrorHistory {
    <#
    .SYNOPSIS
        Opens the history in Explorer.
    .DESCRIPTION
        Opens the share of the VM that shows every snapshot as a folder with its date, read-only. The VM must export it:
        table [export] of snapmirror.toml, off by default. Explorer asks for a user and a password that are named there.
    .PARAMETER ShareName
        The name of that share, if it is not the usual one.
    .PARAMETER PassThru
        Give the path instead of opening it.
    .EXAMPLE
        Show-SnapMirrorHistory

        Opens \\10.253.71.2\history.
    .EXAMPLE
        Show-SnapMirrorHistory -PassThru | Get-ChildItem

        Lists the mirrors without Explorer.
    .OUTPUTS
        System.String, with -PassThru.
    .LINK
        Restore-SnapMirrorItem
    #>
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [ValidatePattern('^[^\\/]+$')] [string] $ShareName = 'history',
        [switch] $PassThru
    )

    $path = "\\$((Get-SnapMirrorSetting).Address)\$ShareName"
    if ($PassThru) {
        return $path
    }
    Start-Process -FilePath 'explorer.exe' -ArgumentList $path
}
