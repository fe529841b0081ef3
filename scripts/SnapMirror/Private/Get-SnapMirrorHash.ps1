function Get-SnapMirrorHash {
    # A short text that is another when a file in these files and folders is another. Nothing for nothing.
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [AllowEmptyString()] [AllowNull()] [string[]] $Path
    )

    $there = @($Path | Where-Object { $_ -and (Test-Path -LiteralPath $_) })
    if (-not $there) {
        return
    }
    $hash = [System.Security.Cryptography.SHA256]::Create()
    try {
        # (Small files, and many: without a cmdlet for each.)
        $text = foreach ($file in Get-ChildItem -LiteralPath $there -Recurse -File | Sort-Object -Property FullName) {
            $file.Name + ' ' + [System.BitConverter]::ToString($hash.ComputeHash([System.IO.File]::ReadAllBytes($file.FullName))).Replace('-', '')
        }
        $bytes = $hash.ComputeHash([System.Text.Encoding]::UTF8.GetBytes($text -join "`n"))
    } finally {
        $hash.Dispose()
    }
    'files ' + [System.BitConverter]::ToString($bytes, 0, 6).Replace('-', '').ToLowerInvariant()
}
