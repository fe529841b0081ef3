function Get-SnapMirrorHome {
    # The folder of settings, keys and seed; only administrators and the system can read it.
    [CmdletBinding()]
    [OutputType([string])]
    param()

    Join-Path -Path $env:ProgramData -ChildPath 'SnapMirror'
}
