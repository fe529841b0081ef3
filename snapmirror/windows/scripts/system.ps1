# Windows itself: clock, version, sleep, restart, our event source. Changes nothing.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$facts = @{}
$unknown = @{}

function Get-Fact {
    param([string]$Name, [scriptblock]$Ask)
    try {
        $facts[$Name] = & $Ask
    } catch {
        $unknown[$Name] = $_.ToString()
    }
}

# powercfg speaks the language of Windows; its last two hexadecimal numbers are the values on mains and on battery.
function Get-PowerSetting {
    param([string]$Setting)
    $lines = & powercfg.exe /qh SCHEME_CURRENT SUB_SLEEP $Setting
    if ($LASTEXITCODE -ne 0) {
        throw "powercfg ended with $LASTEXITCODE"
    }
    $numbers = [regex]::Matches(($lines -join ' '), '0x[0-9a-fA-F]{8}')
    if ($numbers.Count -lt 2) {
        throw "powercfg does not know $Setting"
    }
    [Convert]::ToInt64($numbers[$numbers.Count - 2].Value, 16)
}

Get-Fact 'now' {
    [DateTime]::UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", [Globalization.CultureInfo]::InvariantCulture)
}
Get-Fact 'windows' {
    [Environment]::OSVersion.Version.ToString()
}
Get-Fact 'sleep_seconds' {
    Get-PowerSetting 'STANDBYIDLE'
}
Get-Fact 'hibernate_seconds' {
    Get-PowerSetting 'HIBERNATEIDLE'
}
Get-Fact 'wake_timers' {
    Get-PowerSetting 'RTCWAKE'
}
Get-Fact 'restart_pending' {
    $keys = 'Component Based Servicing\RebootPending', 'WindowsUpdate\Auto Update\RebootRequired'
    $found = $keys | Where-Object { Test-Path -Path "HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\$_" }
    [bool]$found
}
Get-Fact 'event_source' {
    Test-Path -Path 'HKLM:\SYSTEM\CurrentControlSet\Services\EventLog\Application\snapmirror'
}
@{ facts = $facts; unknown = $unknown } | ConvertTo-Json -Compress -Depth 4
