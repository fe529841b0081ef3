# The module: one file for each function; those in Public are exported.
Set-StrictMode -Version 2.0
# Exit codes are looked at here; PowerShell 7.4 can be told to make errors of them, which would hide them.
$PSNativeCommandUseErrorActionPreference = $false

. (Join-Path $PSScriptRoot 'SnapMirror.Edition.ps1')
foreach ($folder in 'Private', 'Public') {
    foreach ($file in Get-ChildItem -Path (Join-Path $PSScriptRoot $folder) -Filter '*.ps1') {
        . $file.FullName
    }
}
$Contract = Read-SnapMirrorContract -Path (Join-Path $PSScriptRoot 'SnapMirror.Contract.psd1')
Register-SnapMirrorCompleter
