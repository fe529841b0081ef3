# The share is served encrypted, or not at all. Needs an administrator.
# share: its name.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$p = $env:SNAPMIRROR_PARAMETERS | ConvertFrom-Json
try {
    Set-SmbShare -Name $p.share -EncryptData $true -Force
} catch {
    @{ error = $_.ToString() } | ConvertTo-Json -Compress
    exit 1
}
@{ done = $true } | ConvertTo-Json -Compress
