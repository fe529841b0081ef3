function Get-SnapMirrorSnapshot {
    <#
    .SYNOPSIS
        Lists the snapshots, the newest first.
    .DESCRIPTION
        Asks 'snapmirror list' in the VM. That opens the store; while a night runs it tells what was there when the
        night began, or, if the VM keeps no copies of that, is refused with exit code 10.
    .PARAMETER Mirror
        Only the snapshots of this mirror.
    .PARAMETER Newest
        Only so many of the newest ones of each mirror.
    .EXAMPLE
        Get-SnapMirrorSnapshot

        All snapshots.
    .EXAMPLE
        Get-SnapMirrorSnapshot -Mirror web1 | Where-Object Taken -lt (Get-Date).AddDays(-7)

        Those of web1 that are older than a week.
    .OUTPUTS
        SnapMirror.Snapshot
    .LINK
        Restore-SnapMirrorItem
    #>
    [CmdletBinding()]
    [OutputType('SnapMirror.Snapshot')]
    param(
        [Parameter(Position = 0)] [string] $Mirror,
        [ValidateRange(1, 100000)] [int] $Newest = 100000
    )

    $ErrorActionPreference = 'Stop' # what ends a step ends the command, whatever the caller does with errors
    $word = @('list', '--json')
    if ($Mirror) {
        $word += '--mirror', $Mirror
    }
    $answer = Invoke-SnapMirrorCommand -Word $word
    if (-not (Test-SnapMirrorSuccess -ExitCode $answer.ExitCode)) {
        $PSCmdlet.ThrowTerminatingError((New-SnapMirrorError -Command 'list' -ExitCode $answer.ExitCode -Said $answer.Said))
    }
    $seen = @{}
    foreach ($snapshot in $answer.Output) {
        $seen[$snapshot.Mirror] = 1 + $(if ($seen.ContainsKey($snapshot.Mirror)) { $seen[$snapshot.Mirror] } else { 0 })
        if ($seen[$snapshot.Mirror] -le $Newest) {
            $snapshot
        }
    }
}
