function Assert-SnapMirrorChange {
    # What is asked for can be made of an installation that is there: changes that cannot be made are refused before
    # anything is changed.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [hashtable] $Argument,
        [string] $SeedPath,
        [bool] $SourceGiven
    )

    $ErrorActionPreference = 'Stop'
    $PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }
    $journal = Get-SnapMirrorJournal
    $root = Get-SnapMirrorHome
    foreach ($name in 'VMName', 'Account', 'ShareName', 'SharePath', 'Network', 'MirrorName', 'ImageSize') {
        if ($journal.Argument.ContainsKey($name) -and $journal.Argument[$name] -ne $Argument[$name]) {
            $how = 'Uninstall-SnapMirror first: it leaves the image and the keys.'
            if ('MirrorName', 'ImageSize' -contains $name) {
                $how = "Change it in $(Join-Path $root 'seed/snapmirror.toml'), as 'snapmirror help configuration' in the VM says."
            }
            throw "This host has -$name $($journal.Argument[$name]), and not $($Argument[$name]); nothing was changed. $how"
        }
    }
    if (@($journal.Made | ForEach-Object -Process { $_.Name }) -contains 'vm' -and $journal.Argument['Vhdx'] -and $journal.Argument['Vhdx'] -ne $Argument['Vhdx']) {
        throw "The VM of this host was made of another disk than this -VhdxPath; nothing was changed. Uninstall-SnapMirror first: it leaves the image and the keys. Then Install-SnapMirror makes the VM anew."
    }
    $own = Join-Path -Path $root -ChildPath 'seed/snapmirror.toml'
    if ($SeedPath) {
        if (-not (Test-Path -LiteralPath $SeedPath -PathType Container)) {
            throw "-SeedPath $SeedPath is no folder."
        }
        $kept = Join-Path -Path $root -ChildPath 'image.key'
        $given = Join-Path -Path $SeedPath -ChildPath 'image.key'
        if ((Test-Path -LiteralPath $kept) -and (Test-Path -LiteralPath $given) -and (Get-FileHash -LiteralPath $kept).Hash -ne (Get-FileHash -LiteralPath $given).Hash) {
            throw "$kept is another key than $given. An image may depend on it: move it away by hand if not."
        }
        if (Test-Path -LiteralPath (Join-Path $SeedPath 'snapmirror.toml')) {
            if ($SourceGiven) {
                throw "$(Join-Path $SeedPath 'snapmirror.toml') says what to mirror: change it there, and call this without -Source. Nothing was changed."
            }
            return
        }
    }
    if ($SourceGiven -and (Test-Path -LiteralPath $own)) {
        $line = @((Read-SnapMirrorText -Path $own) -split '\r?\n' | Where-Object { $_ -match '^\s*source\s*=' })
        if ($line.Count -ne 1 -or $line[0] -notmatch '^source = "[^"\\]*"\s*$') {
            throw "$own is your own, with $($line.Count) sources: change the source there, and call this without -Source."
        }
    } elseif (-not $Argument['Source'] -and -not (Test-Path -LiteralPath $own)) {
        throw 'Say what to mirror: -Source root@web1.example:/, or a snapmirror.toml in -SeedPath.'
    }
}
