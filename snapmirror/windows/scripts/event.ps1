# An entry in the event log Application, from the source snapmirror.
# id: number; level: Information, Warning or Error; message: the text.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$p = $env:SNAPMIRROR_PARAMETERS | ConvertFrom-Json
try {
    Write-EventLog -LogName 'Application' -Source 'snapmirror' -EventId $p.id -EntryType $p.level -Message $p.message
} catch {
    @{ error = $_.ToString() } | ConvertTo-Json -Compress
    exit 1
}
@{ done = $true } | ConvertTo-Json -Compress
