# Starts a scheduled task; does not wait for its end.
# task: its name, with the folder it is in.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$p = $env:SNAPMIRROR_PARAMETERS | ConvertFrom-Json
$said = & schtasks.exe /Run /TN $p.task
$code = $LASTEXITCODE
if ($code -ne 0) {
    @{ error = "schtasks ended with $($code): $($said -join ' ')" } | ConvertTo-Json -Compress
    exit $code
}
@{ done = $true } | ConvertTo-Json -Compress
