function Test-SnapMirrorTask {
    # Whether the task is there as Register-SnapMirrorTask makes it, and the copy of the module that it runs is whole.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [string] $TaskName,
        [Parameter(Mandatory)] [hashtable] $Wish
    )

    $module = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'Module'
    $task = @(Get-ScheduledTask | Where-Object -Property TaskName -EQ -Value $TaskName)
    if ($task.Count -ne 1 -or (Get-SnapMirrorHash -Path $module) -ne $Wish.ModuleHash) {
        return $false
    }
    $trigger = @($task[0].Triggers)
    $action = @($task[0].Actions)
    $choice = $task[0].Settings
    $wanted = Get-SnapMirrorTaskAction -ModulePath $module -CopyPath $Wish.CopyPath
    # (Windows writes the system's name in its own language; a service's account needs no password, that is what counts.)
    $trigger.Count -eq 1 -and "$($trigger[0].StartBoundary)" -match "^\d{4}-\d\d-\d\dT$($Wish.At):00$" -and
        $trigger[0].DaysInterval -eq 1 -and $trigger[0].Enabled -and
        $action.Count -eq 1 -and $action[0].Execute -eq $wanted.Execute -and $action[0].Arguments -ceq $wanted.Argument -and
        "$($task[0].Principal.LogonType) $($task[0].Principal.RunLevel)" -eq 'ServiceAccount Highest' -and
        $choice.Enabled -and $choice.WakeToRun -and $choice.StartWhenAvailable -and -not $choice.DisallowStartIfOnBatteries -and
        -not $choice.StopIfGoingOnBatteries -and "$($choice.ExecutionTimeLimit) $($choice.MultipleInstances)" -eq 'PT0S IgnoreNew'
}
