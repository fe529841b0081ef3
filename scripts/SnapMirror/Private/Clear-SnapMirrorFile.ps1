function Clear-SnapMirrorFile {
    # Overwrite a file, then delete it. (What the disk itself keeps of the old content, such as an SSD, is not in reach.)
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Path
    )

    if (-not (Test-Path -LiteralPath $Path -PathType Leaf) -or -not $PSCmdlet.ShouldProcess($Path, 'overwrite and delete')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $stream = [System.IO.File]::Open($Path, 'Open', 'Write', 'None')
    try {
        $zeros = New-Object -TypeName byte[] -ArgumentList 1048576
        for ($left = $stream.Length; $left -gt 0; $left -= $zeros.Length) {
            $stream.Write($zeros, 0, [int][System.Math]::Min($left, $zeros.Length))
        }
        $stream.Flush($true)
    } finally {
        $stream.Dispose()
    }
    Remove-Item -LiteralPath $Path
}
