# Keeps Windows from falling asleep for as long as this runs, which is until its shell is deleted. A shell that nobody
# asks any more is deleted by Windows itself.
# seconds: for how long at most.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$p = $env:SNAPMIRROR_PARAMETERS | ConvertFrom-Json
$code = '[DllImport("kernel32.dll")] public static extern uint SetThreadExecutionState(uint flags);'
$power = Add-Type -MemberDefinition $code -Namespace 'SnapMirror' -Name 'Power' -PassThru
# ES_CONTINUOUS and ES_SYSTEM_REQUIRED; 0 means that Windows refused.
if ($power::SetThreadExecutionState([uint32]'0x80000001') -eq 0) {
    @{ error = 'Windows does not let itself be kept awake' } | ConvertTo-Json -Compress
    exit 1
}
[Console]::Out.WriteLine((@{ done = $true } | ConvertTo-Json -Compress))
$end = [DateTime]::UtcNow.AddSeconds($p.seconds)
while ([DateTime]::UtcNow -lt $end) {
    Start-Sleep -Seconds 5
}
