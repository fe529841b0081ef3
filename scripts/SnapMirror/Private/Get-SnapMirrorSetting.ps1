function Get-SnapMirrorSetting {
    # What Install-SnapMirror has written down.
    [CmdletBinding()]
    [OutputType([psobject])]
    param()

    $ErrorActionPreference = 'Stop' # without settings nothing goes on, whatever the caller does with errors
    $path = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'settings.json'
    if (-not (Test-Path -LiteralPath $path)) {
        throw "$path is missing, or only administrators can see it. Install-SnapMirror makes it."
    }
    try {
        ConvertFrom-SnapMirrorJson -Text (Read-SnapMirrorText -Path $path)
    } catch {
        throw "$path cannot be read: $_ Install-SnapMirror writes it again."
    }
}
