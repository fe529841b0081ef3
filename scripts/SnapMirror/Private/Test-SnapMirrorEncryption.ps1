function Test-SnapMirrorEncryption {
    # Whether the VM's configuration asks for an encrypted image.
    [CmdletBinding()]
    [OutputType([bool])]
    param()

    $path = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'seed/snapmirror.toml'
    (Test-Path -LiteralPath $path) -and (Read-SnapMirrorText -Path $path) -match '(?m)^\s*encryption\s*=\s*["'']luks'
}
