# In how many pieces the image lies on its volume; beyond 200000 they are not counted. Changes nothing.
# path: where the image is.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$p = $env:SNAPMIRROR_PARAMETERS | ConvertFrom-Json
$most = 200000
$lines = @(& fsutil.exe file queryextents $p.path | Select-Object -First $most)
$code = $LASTEXITCODE
if (($lines.Count -lt $most) -and ($code -ne 0)) {
    @{ error = "fsutil ended with $($code): $($lines -join ' ')" } | ConvertTo-Json -Compress
    exit $code
}
# A hole has no place on the volume: its number is all ones.
$pieces = @($lines | Where-Object { ($_ -match 'LCN') -and ($_ -notmatch 'f{16}') })
@{ fragments = [int64]$pieces.Count } | ConvertTo-Json -Compress
