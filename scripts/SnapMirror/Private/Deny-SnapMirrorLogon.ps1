function Deny-SnapMirrorLogon {
    # The account may not log on at the console, by remote desktop, as a service or in a batch: the network is enough.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Name,
        [switch] $Undo
    )

    $user = Get-SnapMirrorAccount -Name $Name
    if (-not $user -or -not $PSCmdlet.ShouldProcess($Name, 'deny the account every log on but that by the network')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $sid = "*$($user.SID.Value)"
    $right = Get-SnapMirrorRight
    $lines = foreach ($one in $right.Keys) {
        # (secedit names local accounts by name where it can.)
        $other = @($right[$one] | Where-Object { $_ -ne $sid -and $_ -ne $Name })
        if ($Undo) {
            if ($other.Count -lt $right[$one].Count) {
                "$one = " + ($other -join ',')
            }
        } elseif ($other.Count -eq $right[$one].Count) {
            "$one = " + (($other + $sid) -join ',')
        }
    }
    if (-not $lines) {
        return
    }
    $folder = Join-Path -Path ([System.IO.Path]::GetTempPath()) -ChildPath ([guid]::NewGuid())
    $null = New-Item -ItemType Directory -Path $folder
    try {
        $new = Join-Path -Path $folder -ChildPath 'new.inf'
        $head = '[Unicode]', 'Unicode=yes', '[Version]', 'signature="$CHICAGO$"', 'Revision=1', '[Privilege Rights]'
        Set-Content -LiteralPath $new -Value ($head + $lines) -Encoding Unicode
        $null = Invoke-SnapMirrorNative -Program 'secedit.exe' -Argument '/configure', '/db', (Join-Path $folder 'db.sdb'), '/cfg', $new, '/areas', 'USER_RIGHTS' -Success 0, 3 # 3: with warnings, about other lines of the policy
    } finally {
        Remove-Item -LiteralPath $folder -Recurse -Force
    }
}
