function Format-SnapMirrorSize {
    # A number of bytes as people read it.
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [Parameter(Mandatory, Position = 0)] [double] $Bytes
    )

    $unit = 'B', 'KiB', 'MiB', 'GiB', 'TiB'
    for ($index = 0; $Bytes -ge 1024 -and $index -lt $unit.Count - 1; $index++) {
        $Bytes /= 1024
    }
    '{0:0.#} {1}' -f $Bytes, $unit[$index]
}
