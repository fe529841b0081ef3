function Register-SnapMirrorTask {
    # The task of the night: with nobody logged on, wakes the host, makes up for a missed night, is never cut short.
    # It is run by the system, so from a copy of this module that only administrators can change.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $TaskName,
        [Parameter(Mandatory)] [string] $At,
        [string] $CopyPath
    )

    if (-not $PSCmdlet.ShouldProcess($TaskName, "register the scheduled task, every night at $At")) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $here = Split-Path -Path $PSScriptRoot -Parent
    $module = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'Module'
    if ($here -ne $module) {
        Remove-SnapMirrorFile -Path $module
        Copy-Item -LiteralPath $here -Destination $module -Recurse
    }
    $run = Get-SnapMirrorTaskAction -ModulePath $module -CopyPath $CopyPath
    $action = New-ScheduledTaskAction -Execute $run.Execute -Argument $run.Argument
    $trigger = New-ScheduledTaskTrigger -Daily -DaysInterval 1 -At $At
    # Without a zone: else the task keeps UTC, and the night moves with summer time.
    $trigger.StartBoundary = (Get-Date).ToString('yyyy-MM-dd', [System.Globalization.CultureInfo]::InvariantCulture) + "T${At}:00"
    $principal = New-ScheduledTaskPrincipal -UserId 'S-1-5-18' -LogonType ServiceAccount -RunLevel Highest
    $choice = @{
        WakeToRun                  = $true
        StartWhenAvailable         = $true
        AllowStartIfOnBatteries    = $true
        DontStopIfGoingOnBatteries = $true
        ExecutionTimeLimit         = [timespan]::Zero
        MultipleInstances          = 'IgnoreNew'
    }
    $settings = New-ScheduledTaskSettingsSet @choice
    $task = New-ScheduledTask -Action $action -Trigger $trigger -Principal $principal -Settings $settings -Description 'A snapshot of every mirror'
    $null = Register-ScheduledTask -TaskName $TaskName -InputObject $task -Force
}
