function Get-SnapMirrorRight {
    # Who is denied which log on: for each of the four rights a list, as the policy names them (names, or * and SID).
    [CmdletBinding()]
    [OutputType([hashtable])]
    param()

    $path = Join-Path -Path ([System.IO.Path]::GetTempPath()) -ChildPath "snapmirror-$([guid]::NewGuid()).inf"
    try {
        $null = Invoke-SnapMirrorNative -Program 'secedit.exe' -Argument '/export', '/areas', 'USER_RIGHTS', '/cfg', $path
        $text = @(Get-Content -LiteralPath $path)
    } finally {
        Remove-SnapMirrorFile -Path $path
    }
    $right = @{}
    foreach ($kind in 'Interactive', 'RemoteInteractive', 'Service', 'Batch') {
        $name = "SeDeny${kind}LogonRight"
        $right[$name] = @(foreach ($line in $text) {
            if ($line -match "^$name\s*=(.*)$") {
                $Matches[1].Split(',') | ForEach-Object -Process { $_.Trim() } | Where-Object { $_ }
            }
        })
    }
    $right
}
