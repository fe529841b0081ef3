function Show-SnapMirrorHistory {
    <#
    .SYNOPSIS
        Opens the history in Explorer.
    .DESCRIPTION
        Opens the share of the VM that shows every snapshot as a folder with its date, read-only. With -Mirror, that of the
        mirror's newest snapshot, where a right click on a file shows its Previous Versions.

        The VM must export them: table [export] of snapmirror.toml, off by default. Explorer asks for a user who is named
        there, and the password.
    .PARAMETER Mirror
        The mirror whose newest snapshot is opened.
    .PARAMETER ShareName
        The name of the share with the dated folders, if it is not the usual one.
    .PARAMETER PassThru
        Give the path instead of opening it.
    .EXAMPLE
        Show-SnapMirrorHistory

        Opens \\10.253.71.2\history.
    .EXAMPLE
        Show-SnapMirrorHistory -Mirror web1

        Opens \\10.253.71.2\web1. Right click, Restore previous versions, choose a date, Open, drag out what is wanted.
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
        [Parameter(Position = 0, ValueFromPipelineByPropertyName)] [string] $Mirror,
        [ValidatePattern('^[^\\/]+$')] [string] $ShareName = 'history',
        [switch] $PassThru
    )

    process {
        $path = "\\$((Get-SnapMirrorSetting).Address)\$(if ($Mirror) { $Mirror } else { $ShareName })"
        if ($PassThru) {
            return $path
        }
        Start-Process -FilePath 'explorer.exe' -ArgumentList $path
    }
}
