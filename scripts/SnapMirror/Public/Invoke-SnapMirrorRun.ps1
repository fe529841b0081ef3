function Invoke-SnapMirrorRun {
    <#
    .SYNOPSIS
        Makes a snapshot of every mirror now, as the night does.
    .DESCRIPTION
        Starts the VM if it is off, keeps Windows awake, runs 'snapmirror run' in the VM and waits for its end. The run
        goes on in the VM if this command is interrupted. $LASTEXITCODE is snapmirror's exit code; a run that made no
        snapshot is an error whose id names the reason, such as SnapMirror.STORAGE. This is what the scheduled task
        calls.
    .PARAMETER Mirror
        Names of mirrors. Without it, all of them.
    .PARAMETER Full
        Compare with the stored tree itself. Slow; sees changed ACLs as well.
    .PARAMETER AcceptChanges
        Go on although much has changed or gone since the last snapshot. Look at the server first. The VM takes this from
        the administrator's key only: name it with -KeyFile.
    .PARAMETER KeyFile
        The administrator's private key, whose public one Install-SnapMirror was given as -AdminKeyPath, instead of the
        everyday key of this host.
    .PARAMETER CopyPath
        A folder on a USB disk to which the closed image is copied afterwards, as Copy-SnapMirrorImage does. A disk that
        is not there, or a copy that fails, is a warning, and the exit code 3.
    .EXAMPLE
        Invoke-SnapMirrorRun

        Makes a snapshot of every mirror.
    .EXAMPLE
        Invoke-SnapMirrorRun -Mirror web1 -CopyPath E:\Backup

        Makes a snapshot of web1, then brings the copy on the USB disk up to date.
    .EXAMPLE
        Invoke-SnapMirrorRun -Mirror web1 -AcceptChanges -KeyFile F:\id_admin

        Makes a snapshot of web1 that a guard has stopped, by the key on an USB stick.
    .OUTPUTS
        SnapMirror.MirrorRun: one for each mirror. With -CopyPath, SnapMirror.Copy as well.
    .LINK
        Get-SnapMirrorStatus
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType('SnapMirror.MirrorRun', 'SnapMirror.Copy')]
    param(
        [Parameter(Position = 0, ValueFromPipelineByPropertyName)] [string[]] $Mirror = @(),
        [switch] $Full,
        [switch] $AcceptChanges,
        [string] $KeyFile,
        [string] $CopyPath
    )

    begin {
        $asked = $ErrorActionPreference
        $ErrorActionPreference = 'Stop' # what ends a step ends the command, whatever the caller does with errors
        $wanted = @()
        $came = $false
    }

    process {
        $came = $true
        $wanted += $Mirror # several snapshots of a mirror are one run of it
    }

    end {
        if (-not $came) {
            return # a pipeline without anything is not a run of all
        }
        $wanted = @($wanted | Select-Object -Unique)
        $word = @('run', '--json')
        if ($Full) {
            $word += '--full'
        }
        if ($AcceptChanges) {
            $word += '--accept-changes'
        }
        if ($wanted) {
            $word += @('--') + $wanted
        }
        if (-not $PSCmdlet.ShouldProcess("mirrors: $(if ($wanted) { $wanted -join ', ' } else { 'all' })", 'make a snapshot')) {
            return
        }
        $key = if ($KeyFile) { $PSCmdlet.GetUnresolvedProviderPathFromPSPath($KeyFile) }
        Set-SnapMirrorAwake -Awake $true
        try {
            Start-SnapMirrorVM
            $answer = Invoke-SnapMirrorCommand -Word $word -KeyFile $key -Activity 'Invoke-SnapMirrorRun'
            foreach ($one in $answer.Output) {
                $one.Mirrors
                foreach ($night in $one.Mirrors) {
                    foreach ($warning in $night.Warnings) {
                        Write-Warning -Message "$($night.Mirror): $warning"
                    }
                }
            }
            if (-not (Test-SnapMirrorSuccess -ExitCode $answer.ExitCode)) {
                $ErrorActionPreference = $asked
                $PSCmdlet.WriteError((New-SnapMirrorError -Command 'run' -ExitCode $answer.ExitCode -Said $answer.Said))
            } elseif ($CopyPath) {
                $code = $answer.ExitCode
                try {
                    Copy-SnapMirrorImage -Path $CopyPath -ErrorAction Stop
                    if ($LASTEXITCODE -ne 0) {
                        $code = $LASTEXITCODE
                    }
                } catch {
                    Write-Warning -Message "the snapshot is made, but not copied to ${CopyPath}: $_"
                    $code = 3
                }
                $global:LASTEXITCODE = $code
            }
        } finally {
            Set-SnapMirrorAwake -Awake $false
        }
    }
}
