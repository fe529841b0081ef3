function Test-SnapMirrorEncryption {
    # Whether the VM's configuration asks for an encrypted image.
    [CmdletBinding()]
    [OutputType([bool])]
    param()

    $path = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'seed/snapmirror.toml'
    (Test-Path -LiteralPath $path) -and (Get-Content -LiteralPath $path -Raw -Encoding UTF8) -match '(?m)^\s*encryption\s*=\s*["'']luks'
}
