# What the scheduled task runs. It ends with snapmirror's exit code, and never with 0 unless a snapshot was made; what was
# said ends in the event log Application (source SnapMirrorNight), since nobody looks at a task's window.
#
# eventcreate is on every Windows, and makes its source itself; Write-EventLog is in 5.1 only.
param(
    [string] $CopyPath
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$global:ProgressPreference = 'SilentlyContinue' # of the whole process: that of a script does not reach a module
$bug = 1
$code = $bug
$said = @()
$global:LASTEXITCODE = $bug
try {
    Import-Module -Name (Join-Path $PSScriptRoot 'SnapMirror.psd1')
    $asked = @{ ErrorAction = 'SilentlyContinue'; Confirm = $false }
    if ($CopyPath) {
        $asked['CopyPath'] = $CopyPath
    }
    $failed = @()
    $warned = @()
    $done = @(Invoke-SnapMirrorRun @asked -ErrorVariable failed -WarningVariable warned)
    $made = @($done | Where-Object { $_.PSObject.Properties['Snapshot'] -and $_.Snapshot })
    if ($LASTEXITCODE -is [int]) {
        $code = $LASTEXITCODE
    }
    $said = @($made | ForEach-Object { "$($_.Mirror): snapshot $($_.Snapshot)" }) + @($failed | ForEach-Object { "$_" }) +
        @($warned | ForEach-Object { "$_" })
    if ($code -eq 0 -and -not $made) {
        $code = $bug
        $said += 'no snapshot was made'
    }
} catch {
    $said += "$_"
    if ($LASTEXITCODE -is [int] -and $LASTEXITCODE -ne 0) {
        $code = $LASTEXITCODE
    }
}
$kind = if ($code -eq 0) { 'INFORMATION' } elseif ($code -eq 3) { 'WARNING' } else { 'ERROR' }
$text = "snapmirror's night ended with ${code}. $($said -join '; ')" -replace '"', "'" -replace '[\x00-\x1f\\]+', ' '
$text
try {
    # (as one text without quotes and backslashes, which every edition hands on as it is)
    # (and what it says itself: 5.1 would make an error of the first line on stderr)
    $ErrorActionPreference = 'Continue'
    $PSNativeCommandUseErrorActionPreference = $false
    $global:LASTEXITCODE = 0
    $answer = & eventcreate.exe /T $kind /ID 1 /L APPLICATION /SO SnapMirrorNight /D $text.Substring(0, [System.Math]::Min(7000, $text.Length)) 2>&1
    if ($LASTEXITCODE -ne 0) {
        throw "eventcreate.exe ended with ${LASTEXITCODE}: $answer"
    }
} catch {
    # Not an error of PowerShell's: the night ends with its own code, whatever becomes of its words.
    [System.Console]::Error.WriteLine("the event log was not written: $_")
}
exit $code
