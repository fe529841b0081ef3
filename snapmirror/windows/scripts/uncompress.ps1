# New files in the folder are no longer compressed by NTFS; those that are there stay as they are.
# folder: which one.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$p = $env:SNAPMIRROR_PARAMETERS | ConvertFrom-Json
$said = & compact.exe /U $p.folder
$code = $LASTEXITCODE
if ($code -ne 0) {
    @{ error = "compact ended with $($code): $($said -join ' ')" } | ConvertTo-Json -Compress
    exit $code
}
@{ done = $true } | ConvertTo-Json -Compress
