function Assert-SnapMirrorChange {
    # What is asked for can be made, beside what is there: names that others have, and changes of an installation that
    # cannot be made, are refused before anything is changed.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [hashtable] $Argument,
        [Parameter(Mandatory)] [hashtable] $Setting,
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
                $how = "Change it in $(Join-Path $root 'seed/snapmirror.toml'), as the page of configuration says."
            }
            throw "This host has -$name $($journal.Argument[$name]), and not $($Argument[$name]); nothing was changed. $how"
        }
    }
    $part = @($Argument['Network'].Split('.') | ForEach-Object -Process { [int]$_ })
    if (@($part | Where-Object { $_ -gt 255 }).Count -or $part[0] -lt 1 -or $part[0] -gt 223 -or $part[0] -eq 127) {
        throw "-Network $($Argument['Network']) is none: three numbers up to 255, such as 10.253.71."
    }
    $taken = Get-NetIPAddress | Where-Object { $_.IPAddress -like "$($Argument['Network']).*" -and $_.InterfaceAlias -ne "vEthernet ($($Setting.WireName))" }
    if ($taken) {
        throw "-Network $($Argument['Network']) is in use by $(@($taken)[0].InterfaceAlias) ($(@($taken)[0].IPAddress)). Take another."
    }
    $made = @($journal.Made | ForEach-Object -Process { $_.Name })
    if ($made -notcontains 'account' -and (Get-SnapMirrorAccount -Name $Setting.Account)) {
        throw "There is an account $($Setting.Account) already, which is not of Install-SnapMirror. Take another -Account."
    }
    if ($made -notcontains 'share' -and (Get-SmbShare | Where-Object -Property Name -EQ -Value $Setting.ShareName)) {
        throw "There is a share $($Setting.ShareName) already, which is not of Install-SnapMirror. Take another -ShareName."
    }
    if ($made -notcontains 'vm' -and (Get-VM | Where-Object -Property Name -EQ -Value $Setting.VMName)) {
        throw "There is a VM $($Setting.VMName) already, which is not of Install-SnapMirror. Take another -VMName."
    }
    if ($made -notcontains 'wire' -and (Get-VMSwitch | Where-Object -Property Name -EQ -Value $Setting.WireName)) {
        throw "There is a switch $($Setting.WireName) already, which is not of Install-SnapMirror. Rename it."
    }
    if ($made -notcontains 'task' -and (Get-ScheduledTask | Where-Object -Property TaskName -EQ -Value $Setting.TaskName)) {
        throw "There is a task $($Setting.TaskName) already, which is not of Install-SnapMirror. Rename it."
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
            return
        }
    }
    if ($SourceGiven -and (Test-Path -LiteralPath $own)) {
        $line = @(Get-Content -LiteralPath $own -Encoding UTF8 | Where-Object { $_ -match '^\s*source\s*=' })
        if ($line.Count -ne 1 -or $line[0] -notmatch '^source = "[^"\\]*"\s*$') {
            throw "$own is your own, with $($line.Count) sources: change the source there, and call this without -Source."
        }
    } elseif (-not $Argument['Source'] -and -not (Test-Path -LiteralPath $own)) {
        throw 'Say what to mirror: -Source root@web1.example:/, or a snapmirror.toml in -SeedPath.'
    }
}
