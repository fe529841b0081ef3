function Get-SnapMirrorStatus {
    <#
    .SYNOPSIS
        Tells how old the last success is, how the last night went, and what space is left.
    .DESCRIPTION
        Asks 'snapmirror status' in the VM, which answers at once, also while a night runs. Adds what only Windows knows:
        the state of the VM, when the scheduled task runs next, and what is free now on the volume that holds the image.
        Findings are sentences about what needs a look; without any, all is well. $LASTEXITCODE is 0 or 3.
    .EXAMPLE
        Get-SnapMirrorStatus

        Shows everything.
    .EXAMPLE
        (Get-SnapMirrorStatus).Mirrors | Where-Object { $_.LastSuccessAge.TotalHours -gt 30 }

        The mirrors without a snapshot of the last 30 hours.
    .OUTPUTS
        SnapMirror.Status
    .LINK
        Invoke-SnapMirrorRun
    #>
    [CmdletBinding()]
    [OutputType('SnapMirror.Status')]
    param()

    $ErrorActionPreference = 'Stop' # what ends a step ends the command, whatever the caller does with errors
    $setting = Get-SnapMirrorSetting
    $answer = Invoke-SnapMirrorCommand -Word 'status', '--json'
    if (-not (Test-SnapMirrorSuccess -ExitCode $answer.ExitCode)) {
        $PSCmdlet.ThrowTerminatingError((New-SnapMirrorError -Command 'status' -ExitCode $answer.ExitCode -Said $answer.Said))
    }
    $code = $answer.ExitCode
    # Where Windows does not know, or has no Hyper-V, there is nothing; and no error that was caught stays in $Error.
    $look = [ordered]@{
        VMState         = 'Get-VM', { Get-VM -Name $setting.VMName -ErrorAction Ignore | ForEach-Object { $_.State } }
        NextRun         = 'Get-ScheduledTaskInfo', { Get-ScheduledTaskInfo -TaskName $setting.TaskName -ErrorAction Ignore | ForEach-Object { $_.NextRunTime } }
        VolumeFreeBytes = 'Get-Volume', { Get-Volume -FilePath $setting.SharePath -ErrorAction Ignore | ForEach-Object { $_.SizeRemaining } }
    }
    foreach ($status in $answer.Output) {
        foreach ($name in $look.Keys) {
            $value = $null
            if (Get-Command -Name $look[$name][0] -ErrorAction Ignore) {
                $value = & $look[$name][1]
            }
            Add-Member -InputObject $status -MemberType NoteProperty -Name $name -Value $value
        }
        $status
    }
    $global:LASTEXITCODE = $code
}
