function Test-SnapMirrorImage {
    # Whether the image is ready, and the copy of its LUKS header here, if it is encrypted.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [string] $SharePath
    )

    # snapmirror writes the record beside it when the image has proved itself.
    $image = Join-Path -Path $SharePath -ChildPath 'snapmirror.img'
    $header = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'image.luks-header'
    (Test-Path -LiteralPath $image) -and (Test-Path -LiteralPath "$image.json") -and
        ((Test-Path -LiteralPath $header) -or -not (Test-SnapMirrorEncryption))
}
