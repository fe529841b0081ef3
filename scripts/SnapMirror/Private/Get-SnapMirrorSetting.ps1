function Get-SnapMirrorSetting {
    # What Install-SnapMirror has written down.
    [CmdletBinding()]
    [OutputType([psobject])]
    param()

    $path = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'settings.json'
    if (-not (Test-Path -LiteralPath $path)) {
        throw "$path is missing, or only administrators can see it. Install-SnapMirror makes it."
    }
    Get-Content -LiteralPath $path -Raw | ConvertFrom-Json
}
