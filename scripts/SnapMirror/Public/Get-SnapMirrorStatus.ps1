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
    # Where Windows does not know, or has no Hyper-V, there is nothing, and no error of that stays in $Error. ('Ignore' does
    # that for cmdlets; functions, as those of tasks and volumes are, hand it on, which 5.1 refuses.)
    $look = [ordered]@{
        VMState         = 'Get-VM', { Get-VM -Name $setting.VMName -ErrorAction SilentlyContinue | ForEach-Object { $_.State } }
        NextRun         = 'Get-ScheduledTaskInfo', { Get-ScheduledTaskInfo -TaskName $setting.TaskName -ErrorAction SilentlyContinue | ForEach-Object { $_.NextRunTime } }
        VolumeFreeBytes = 'Get-Volume', { Get-Volume -FilePath $setting.SharePath -ErrorAction SilentlyContinue | ForEach-Object { $_.SizeRemaining } }
    }
    foreach ($status in $answer.Output) {
        foreach ($name in $look.Keys) {
            $value = $null
            $before = $global:Error.Count
            try {
                if (Get-Command -Name $look[$name][0] -ErrorAction Ignore) {
                    $value = & $look[$name][1]
                }
            } catch {
                Write-Verbose -Message "$name is not known: $_"
            }
            while ($global:Error.Count -gt $before) {
                $global:Error.RemoveAt(0)
            }
            Add-Member -InputObject $status -MemberType NoteProperty -Name $name -Value $value
        }
        $status
    }
    $global:LASTEXITCODE = $code
}
