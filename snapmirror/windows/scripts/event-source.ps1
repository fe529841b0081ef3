# The source of our entries in the event log Application. Needs an administrator.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
try {
    if (-not [Diagnostics.EventLog]::SourceExists('snapmirror')) {
        New-EventLog -LogName 'Application' -Source 'snapmirror'
    }
} catch {
    @{ error = $_.ToString() } | ConvertTo-Json -Compress
    exit 1
}
@{ done = $true } | ConvertTo-Json -Compress
