function Restore-SnapMirrorItem {
    <#
    .SYNOPSIS
        Restores files and folders of a snapshot: into a folder of Windows, or back to the server.
    .DESCRIPTION
        With -Destination, copies them out of the VM by sftp. Windows keeps no Linux owners and modes, symbolic links are
        left out, and names that Windows does not allow are errors; for a faithful restore use -ToServer. A name that
        cannot be copied does not stop the others: each is an error SnapMirror.TRANSFER at the end, and $LASTEXITCODE 12.

        With -ToServer, 'snapmirror restore --push' writes them back to where they came from, with all attributes. It
        shows first what would be written, and asks. Nothing is deleted. The key of the nights may only read: this
        needs one that may write.
    .PARAMETER Path
        Names as they are on the server, such as /etc/hosts. '/' is everything.
    .PARAMETER Id
        The snapshot: its id, the beginning of it such as 2026-11-20, its slot, or newest, which is what it is without.
    .PARAMETER Mirror
        The mirror, where there are several.
    .PARAMETER Destination
        A folder of Windows. It is made if it does not exist. Each name arrives in it under its last part; '/' arrives as
        what the snapshot holds. What is there already is written over only after a question.
    .PARAMETER ToServer
        Back to the server.
    .PARAMETER Force
        Do not ask.
    .EXAMPLE
        Restore-SnapMirrorItem -Path /etc/hosts, /etc/web -Destination C:\Restored

        Copies the newest versions to C:\Restored.
    .EXAMPLE
        Get-SnapMirrorSnapshot -Mirror web1 | Where-Object Taken -lt '2026-11-20' | Select-Object -First 1 | Restore-SnapMirrorItem -Path /etc/web -ToServer -WhatIf

        Shows what going back to the version of 2026-11-19 would write on the server.
    .OUTPUTS
        SnapMirror.Restore, with -ToServer; System.IO.FileSystemInfo, with -Destination.
    .LINK
        Get-SnapMirrorSnapshot
    .LINK
        Show-SnapMirrorHistory
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High', DefaultParameterSetName = 'Folder')]
    [OutputType('SnapMirror.Restore', ParameterSetName = 'Server')]
    [OutputType('System.IO.FileSystemInfo', ParameterSetName = 'Folder')]
    param(
        [Parameter(Mandatory, Position = 0)] [string[]] $Path,
        [Parameter(ValueFromPipelineByPropertyName)] [string] $Id,
        [Parameter(ValueFromPipelineByPropertyName)] [string] $Mirror,
        [Parameter(Mandatory, ParameterSetName = 'Folder')] [string] $Destination,
        [Parameter(Mandatory, ParameterSetName = 'Server')] [switch] $ToServer,
        [switch] $Force
    )

    begin {
        $asked = $ErrorActionPreference
    }

    process {
        $ErrorActionPreference = 'Stop' # what ends a step ends the command, whatever the caller does with errors
        if ($Force) {
            $ConfirmPreference = 'None'
        }
        if (-not $ToServer) {
            $folder = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($Destination)
            $restored = @(Restore-SnapMirrorToFolder -Path $Path -Id $Id -Mirror $Mirror -Destination $folder)
            $restored | Where-Object { $_ -is [System.IO.FileSystemInfo] }
            $ErrorActionPreference = $asked
            $restored | Where-Object { $_ -is [System.Management.Automation.ErrorRecord] } | ForEach-Object { $PSCmdlet.WriteError($_) }
            return
        }
        $word = @('restore', '--json', '--push')
        if ($Mirror) {
            $word += '--mirror', $Mirror
        }
        $what = @('--', $(if ($Id) { $Id } else { 'newest' })) + $Path
        $planned = Invoke-SnapMirrorCommand -Word ($word + '--dry-run' + $what)
        if (-not (Test-SnapMirrorSuccess -ExitCode $planned.ExitCode)) {
            $PSCmdlet.ThrowTerminatingError((New-SnapMirrorError -Command 'restore' -ExitCode $planned.ExitCode -Said $planned.Said))
        }
        foreach ($plan in $planned.Output) {
            $action = "write $($plan.New) new, $($plan.Overwritten) changed, $($plan.Attributes) with other attributes"
            if (-not $PSCmdlet.ShouldProcess($plan.Destination, "$action, from $($plan.Snapshot)")) {
                $plan
                continue
            }
            $done = Invoke-SnapMirrorCommand -Word ($word + '--yes' + $what) -Activity 'Restore-SnapMirrorItem'
            $done.Output
            if (-not (Test-SnapMirrorSuccess -ExitCode $done.ExitCode)) {
                $PSCmdlet.ThrowTerminatingError((New-SnapMirrorError -Command 'restore' -ExitCode $done.ExitCode -Said $done.Said))
            }
        }
    }
}
