function Test-SnapMirrorSetting {
    # Whether these are the settings that are written down.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [hashtable] $Wanted
    )

    if (-not (Test-Path -LiteralPath (Join-Path (Get-SnapMirrorHome) 'settings.json'))) {
        return $false
    }
    $read = Get-SnapMirrorSetting
    @($Wanted.Keys | Where-Object { -not $read.PSObject.Properties[$_] -or $read.$_ -ne $Wanted[$_] }).Count -eq 0
}
