function Deny-SnapMirrorLogon {
    # The account may not log on at the console, by remote desktop, as a service or in a batch: the network is enough.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Name,
        [switch] $Undo,
        [AllowNull()] [AllowEmptyCollection()] [string[]] $Known
    )

    # (Those of an account that is gone are in the policy still, by number.)
    $sid = @(Get-SnapMirrorAccountNumber -Account $Name -Known $Known | ForEach-Object -Process { "*$_" })
    if (-not $PSCmdlet.ShouldProcess($Name, 'deny the account every log on but that by the network')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $right = Get-SnapMirrorRight
    if ($Undo -and -not $sid) {
        Assert-SnapMirrorNoOrphan -Right $right -Account $Name
        return
    }
    $lines = foreach ($one in $right.Keys) {
        # (secedit names local accounts by name where it can.)
        $other = @($right[$one] | Where-Object { $sid -notcontains $_ -and $_ -ne $Name })
        if ($Undo) {
            if ($other.Count -lt $right[$one].Count) {
                "$one = " + ($other -join ',')
            }
        } elseif ($other.Count -eq $right[$one].Count) {
            "$one = " + ((@($other) + $sid) -join ',')
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
        Write-SnapMirrorText -Path $new -Text (($head + $lines -join "`r`n") + "`r`n") -ForWindows
        $null = Invoke-SnapMirrorNative -Program 'secedit.exe' -Argument '/configure', '/db', (Join-Path $folder 'db.sdb'), '/cfg', $new, '/areas', 'USER_RIGHTS' -Success 0, 3 # 3: with warnings, about other lines of the policy
    } finally {
        Remove-Item -LiteralPath $folder -Recurse -Force
    }
    if ($Undo) {
        $still = Get-SnapMirrorRight
        if (@($still.Keys | Where-Object { @($still[$_] | Where-Object { $sid -contains $_ -or $_ -eq $Name }) }).Count) {
            throw "The policy of this host still denies $Name ($sid) to log on. Look at 'User Rights Assignment' in secpol.msc."
        }
    }
}
