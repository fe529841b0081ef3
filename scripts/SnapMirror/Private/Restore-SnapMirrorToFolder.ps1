function Restore-SnapMirrorToFolder {
    # Copy names of a snapshot into a folder of Windows, from the store as 'snapmirror mount' shows it.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string[]] $Path,
        [string] $Id,
        [string] $Mirror,
        [Parameter(Mandatory)] [string] $Destination
    )

    $found = @(Get-SnapMirrorSnapshot -Mirror $Mirror | Where-Object { -not $Id -or $_.Id -eq $Id })
    $of = @($found | Select-Object -ExpandProperty Mirror -Unique)
    if ($of.Count -ne 1) {
        throw $(if ($of) { "several mirrors have such a snapshot: $($of -join ', '); say which with -Mirror" } else { "there is no snapshot $Id" })
    }
    $snapshot = $found[0]
    if (-not $PSCmdlet.ShouldProcess($Destination, "copy $($Path -join ', ') of $($snapshot.Id)")) {
        return
    }
    $mounted = Invoke-SnapMirrorCommand -Word 'mount', '--json'
    if (-not (Test-SnapMirrorSuccess -ExitCode $mounted.ExitCode)) {
        $PSCmdlet.ThrowTerminatingError((New-SnapMirrorError -Command 'mount' -ExitCode $mounted.ExitCode))
    }
    try {
        $source = foreach ($one in $Path) {
            ($snapshot.Path + '/' + $one.Trim('/')).TrimEnd('/')
        }
        Receive-SnapMirrorFile -Path $source -Destination $Destination -Confirm:$false
        $code = $LASTEXITCODE
    } finally {
        if ($mounted.Output[0].Mounted) {
            $null = Invoke-SnapMirrorCommand -Word 'umount'
        }
    }
    $global:LASTEXITCODE = $code
    if ($code -ne 0) {
        throw "sftp ended with $code; it says above which names could not be copied"
    }
    Get-ChildItem -LiteralPath $Destination
}
