function Select-SnapMirrorSnapshot {
    # The one snapshot that is meant, as on snapmirror's command line: an id, its beginning, a slot, or newest.
    [CmdletBinding()]
    param(
        [string] $Id,
        [string] $Mirror
    )

    $all = @(Get-SnapMirrorSnapshot -Mirror $Mirror)
    $text = if ($Id) { $Id } else { 'newest' }
    $names = @($all | Select-Object -ExpandProperty Mirror -Unique)
    $found = @(foreach ($name in $names) {
        $of = @($all | Where-Object { $_.Mirror -eq $name })
        $wanted = $text.Replace(':', '')
        if ($text -match '^(newest|latest)$') {
            $of[0]
        } elseif ($text -match '^(backup\.)?([0-9]{1,3})$') {
            $slot = [int]$Matches[2]
            $of | Where-Object { $_.Slot -eq $slot }
        } else {
            $exact = @($of | Where-Object { $_.Id -eq $wanted })
            if ($exact) { $exact } else { $of | Where-Object { $_.Id.StartsWith($wanted, [System.StringComparison]::OrdinalIgnoreCase) } }
        }
    })
    if ($found.Count -eq 1) {
        return $found[0]
    }
    $of = @($found | Select-Object -ExpandProperty Mirror -Unique)
    $message = if (-not $found) {
        "there is no snapshot $text; Get-SnapMirrorSnapshot lists them"
    } elseif ($of.Count -gt 1) {
        "several mirrors have such a snapshot: $($of -join ', '); say which with -Mirror"
    } else {
        "$text is the beginning of $($found.Count) snapshots: $($found.Id -join ', ')"
    }
    $code = Get-SnapMirrorExitCode -Name 'USAGE'
    $global:LASTEXITCODE = $code
    throw (New-SnapMirrorError -Command 'restore' -ExitCode $code -Message $message)
}
