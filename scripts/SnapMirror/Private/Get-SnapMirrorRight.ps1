function Get-SnapMirrorRight {
    # Who has which right to log on, or is denied it: for each a list, as the policy names them (names, or * and SID). By
    # default those that are denied to the account.
    [CmdletBinding()]
    [OutputType([hashtable])]
    param(
        [string[]] $Name = @('SeDenyInteractiveLogonRight', 'SeDenyRemoteInteractiveLogonRight', 'SeDenyServiceLogonRight', 'SeDenyBatchLogonRight')
    )

    $path = Join-Path -Path ([System.IO.Path]::GetTempPath()) -ChildPath "snapmirror-$([guid]::NewGuid()).inf"
    try {
        $null = Invoke-SnapMirrorNative -Program 'secedit.exe' -Argument '/export', '/areas', 'USER_RIGHTS', '/cfg', $path
        $text = (Read-SnapMirrorText -Path $path) -split '\r?\n'
    } finally {
        Remove-SnapMirrorFile -Path $path
    }
    $right = @{}
    foreach ($one in $Name) {
        $right[$one] = @(foreach ($line in $text) {
            if ($line -match "^$one\s*=(.*)$") {
                $Matches[1].Split(',') | ForEach-Object -Process { $_.Trim() } | Where-Object { $_ }
            }
        })
    }
    $right
}
