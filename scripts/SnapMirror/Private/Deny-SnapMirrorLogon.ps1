function Deny-SnapMirrorLogon {
    # The account may not log on at the console, by remote desktop, as a service or in a batch: the network is enough.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Name
    )

    if (-not $PSCmdlet.ShouldProcess($Name, 'deny the account every log on but that by the network')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $sid = (Get-LocalUser -Name $Name).SID.Value
    $folder = Join-Path -Path ([System.IO.Path]::GetTempPath()) -ChildPath ([guid]::NewGuid())
    $null = New-Item -ItemType Directory -Path $folder
    try {
        $now = Join-Path -Path $folder -ChildPath 'now.inf'
        $null = Invoke-SnapMirrorNative -Program 'secedit.exe' -Argument '/export', '/areas', 'USER_RIGHTS', '/cfg', $now
        $text = Get-Content -LiteralPath $now
        $rights = 'SeDenyInteractiveLogonRight', 'SeDenyRemoteInteractiveLogonRight', 'SeDenyServiceLogonRight', 'SeDenyBatchLogonRight'
        $lines = foreach ($right in $rights) {
            $old = ($text | Where-Object { $_ -match "^$right\s*=\s*(.+)$" } | ForEach-Object { ($_ -split '=', 2)[1].Trim() })
            if ($old -notmatch [regex]::Escape($sid)) {
                "$right = " + ((@($old) + "*$sid" | Where-Object { $_ }) -join ',')
            }
        }
        if ($lines) {
            $new = Join-Path -Path $folder -ChildPath 'new.inf'
            $head = '[Unicode]', 'Unicode=yes', '[Version]', 'signature="$CHICAGO$"', 'Revision=1', '[Privilege Rights]'
            Set-Content -LiteralPath $new -Value ($head + $lines) -Encoding Unicode
            $null = Invoke-SnapMirrorNative -Program 'secedit.exe' -Argument '/configure', '/db', (Join-Path $folder 'db.sdb'), '/cfg', $new, '/areas', 'USER_RIGHTS' -Success 0, 3 # 3: with warnings, about other lines of the policy
        }
    } finally {
        Remove-Item -LiteralPath $folder -Recurse -Force
    }
}
