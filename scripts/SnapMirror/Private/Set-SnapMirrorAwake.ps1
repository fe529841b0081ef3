function Set-SnapMirrorAwake {
    # Windows that was woken by a task sleeps again after two minutes, whatever runs. This keeps it awake until it is
    # called again or the process ends. Elsewhere than on Windows there is nothing to do.
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute(
        'PSUseShouldProcessForStateChangingFunctions', '', Justification = 'It changes this process only.')]
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [bool] $Awake
    )

    if ($env:OS -ne 'Windows_NT') {
        return
    }
    if (-not ('SnapMirror.Power' -as [type])) {
        Add-Type -Namespace 'SnapMirror' -Name 'Power' -MemberDefinition @'
[DllImport("kernel32.dll")]
public static extern uint SetThreadExecutionState(uint flags);
'@
    }
    # ES_CONTINUOUS, with or without ES_SYSTEM_REQUIRED
    $flags = if ($Awake) { [uint32]2147483649 } else { [uint32]2147483648 }
    $null = [SnapMirror.Power]::SetThreadExecutionState($flags)
}
