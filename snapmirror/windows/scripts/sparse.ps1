# Marks the image as sparse: it takes what is used, and gives back what expires.
# path: where the image is.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$p = $env:SNAPMIRROR_PARAMETERS | ConvertFrom-Json
$said = & fsutil.exe sparse setflag $p.path
$code = $LASTEXITCODE
if ($code -ne 0) {
    @{ error = "fsutil ended with $($code): $($said -join ' ')" } | ConvertTo-Json -Compress
    exit $code
}
@{ done = $true } | ConvertTo-Json -Compress
