function Restore-SnapMirrorToFolder {
    # Copy names of a snapshot into a folder of Windows, from the store as 'snapmirror mount' shows it. Gives what was
    # copied, and an error for each name that was not.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string[]] $Path,
        [string] $Id,
        [string] $Mirror,
        [Parameter(Mandatory)] [string] $Destination
    )

    $snapshot = Select-SnapMirrorSnapshot -Id $Id -Mirror $Mirror
    if (-not $PSCmdlet.ShouldProcess($Destination, "copy $($Path -join ', ') of $($snapshot.Id)")) {
        return
    }
    # By its date: the numbered folders move with every night.
    $from = $snapshot.Path -replace "^(.*/$([regex]::Escape($snapshot.Mirror)))/.*$", "`$1/by-date/$($snapshot.Id)"
    $usage = Get-SnapMirrorExitCode -Name 'USAGE'
    $target = New-Object -TypeName System.Collections.Specialized.OrderedDictionary -ArgumentList ([System.StringComparer]::OrdinalIgnoreCase)
    $wrong = @(foreach ($one in $Path) {
        $name = $one.Trim('/')
        $where = if ($name) { Join-Path -Path $Destination -ChildPath ($name -split '/')[-1] } else { $Destination }
        if ($name -match '[\x00-\x1f]' -or ($name -split '/') -match '^\.\.?$') {
            $message = "$one cannot be asked for by sftp; restore the folder that holds it"
            New-SnapMirrorError -Command 'restore' -ExitCode $usage -Message $message -Target $one
        } elseif ($target.Contains($where)) {
            $message = "$one would be written over $($target[$where]); restore it into another folder"
            New-SnapMirrorError -Command 'restore' -ExitCode $usage -Message $message -Target $one
        } else {
            $there = if ($name) { Test-Path -LiteralPath $where } else { (Test-Path -LiteralPath "$where/*") }
            if (-not $there -or (Confirm-SnapMirrorOverwrite -Path $where)) {
                $target[$where] = if ($name) { "$from/$name" } else { "$from/." }
            }
        }
    })
    $fresh = @($target.Keys | Where-Object { -not (Test-Path -LiteralPath $_) })
    $failed = @()
    $code = 0
    if ($target.Count) {
        $mounted = Invoke-SnapMirrorCommand -Word 'mount', '--json'
        if (-not (Test-SnapMirrorSuccess -ExitCode $mounted.ExitCode)) {
            throw (New-SnapMirrorError -Command 'mount' -ExitCode $mounted.ExitCode -Said $mounted.Said)
        }
        try {
            for ($attempt = 1; ; $attempt++) {
                $failed = @()
                $asked = @{ Destination = $Destination; From = $from; Confirm = $false; ErrorAction = 'SilentlyContinue' }
                $before = @(Receive-SnapMirrorFile @asked -Path @($target.Values) -Activity 'Restore-SnapMirrorItem' -ErrorVariable failed)[0]
                $code = $LASTEXITCODE
                # A night that ends meanwhile renames all folders, and the dates follow a moment later.
                if (@(Receive-SnapMirrorFile @asked -Path @())[0] -eq $before) {
                    break
                }
                $fresh | Where-Object { Test-Path -LiteralPath $_ } | ForEach-Object { Remove-Item -LiteralPath $_ -Recurse -Force -Confirm:$false }
                if ($attempt -eq 3) {
                    $global:LASTEXITCODE = Get-SnapMirrorExitCode -Name 'LOCKED'
                    throw (New-SnapMirrorError -Command 'restore' -ExitCode $LASTEXITCODE -Message 'nights went on meanwhile; try again')
                }
            }
        } finally {
            if ($mounted.Output[0].Mounted) {
                $left = $LASTEXITCODE
                $null = Invoke-SnapMirrorCommand -Word 'umount'
                $global:LASTEXITCODE = $left
            }
        }
    }
    $target.Keys | Where-Object { Test-Path -LiteralPath $_ } | ForEach-Object { Get-Item -LiteralPath $_ -Force }
    $global:LASTEXITCODE = if ($wrong) { $usage } else { $code }
    $wrong + $failed
}
