function Get-SnapMirrorVolume {
    # The volume on which a folder is, or will be: it may be missing yet, and a volume may be mounted in a folder.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [string] $Path
    )

    while (-not (Test-Path -LiteralPath $Path) -and (Split-Path -Path $Path -Parent)) {
        $Path = Split-Path -Path $Path -Parent
    }
    Get-Volume -FilePath $Path
}
