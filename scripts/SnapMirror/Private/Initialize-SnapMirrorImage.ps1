function Initialize-SnapMirrorImage {
    # The image, made and proved by snapmirror in the VM if it is not there, and sparse; a copy of its LUKS header.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $SharePath
    )

    if (-not $PSCmdlet.ShouldProcess($SharePath, 'make the image')) {
        return
    }
    $image = Join-Path -Path $SharePath -ChildPath 'snapmirror.img'
    if (-not (Test-Path -LiteralPath "$image.json")) {
        $made = Invoke-SnapMirrorCommand -Word 'init'
        if (-not (Test-SnapMirrorSuccess -ExitCode $made.ExitCode)) {
            $PSCmdlet.ThrowTerminatingError((New-SnapMirrorError -Command 'init' -ExitCode $made.ExitCode))
        }
    }
    if ((Test-SnapMirrorEncryption) -and -not (Test-Path -LiteralPath (Join-Path (Get-SnapMirrorHome) 'image.luks-header'))) {
        Receive-SnapMirrorFile -Path '/var/lib/snapmirror/image.luks-header' -Destination (Get-SnapMirrorHome) -Confirm:$false
    }
    if (-not ((Get-Item -LiteralPath $image).Attributes -band [System.IO.FileAttributes]::SparseFile)) {
        $null = Invoke-SnapMirrorNative -Program 'fsutil.exe' -Argument 'sparse', 'setflag', $image
    }
}
