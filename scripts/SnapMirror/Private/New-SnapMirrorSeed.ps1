function New-SnapMirrorSeed {
    # The folder of files that configure the VM, without secrets: one's own first, then what was made, then templates.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [string] $SeedPath,
        [string] $AdminKeyPath,
        [Parameter(Mandatory)] [hashtable] $Template,
        [bool] $NewSource
    )

    $root = Get-SnapMirrorHome
    $seed = Join-Path -Path $root -ChildPath 'seed'
    if (-not $PSCmdlet.ShouldProcess($seed, "make the VM's configuration")) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $null = New-Item -ItemType Directory -Path (Join-Path $seed 'network') -Force
    # Secrets stay where they are: New-SnapMirrorSeedDisk puts them onto the disk from there.
    $secret = @((Get-SnapMirrorSeedSecret).Keys)
    if ($SeedPath) {
        Copy-Item -Path (Join-Path $SeedPath '*') -Destination $seed -Recurse -Force -Exclude $secret
        foreach ($name in $secret | Where-Object { Test-Path -LiteralPath (Join-Path $SeedPath $_) }) {
            Write-Warning -Message "$(Join-Path $SeedPath $name) is no longer needed by this host, and a secret: take it away, and wipe it"
        }
    }
    foreach ($name in $secret) {
        Clear-SnapMirrorFile -Path (Join-Path $seed $name)
    }
    $folder = Join-Path -Path (Split-Path -Path $PSScriptRoot -Parent) -ChildPath 'Templates'
    foreach ($name in 'snapmirror.toml', 'appliance.toml', '10-windows.network') {
        $target = Join-Path -Path $seed -ChildPath $(if ($name -like '*.network') { "network/$name" } else { $name })
        $given = if (Test-Path -LiteralPath $target) { $target } else { Join-Path -Path $folder -ChildPath $name }
        $text = Read-SnapMirrorText -Path $given
        foreach ($word in $Template.Keys) {
            $text = $text.Replace("@$word@", $Template[$word])
        }
        if ($name -eq 'snapmirror.toml' -and $NewSource -and $given -eq $target) {
            # One of before, with one mirror: it gets the -Source of now. (Assert-SnapMirrorChange has looked at others; what
            # was written into it by hand since stays, where no -Source is given.)
            $text = $text -replace '(?m)^source = "[^"\r\n]*"', ('source = "{0}"' -f $Template['Source'].Replace('$', '$$'))
        }
        Write-SnapMirrorText -Path $target -Text $text
    }
    # The keys that the VM lets in, and for what: that of this host for every day, that of the administrator for the rest.
    $gate = 'restrict,command="/usr/bin/python3 -I /usr/local/lib/snapmirror-vm/gate.py"'
    $line = @($gate + ' ' + (Read-SnapMirrorText -Path (Join-Path $root 'id_ed25519.pub')).Trim())
    $old = '*gate.py"*'
    if ($AdminKeyPath) {
        $line += $gate.Replace('gate.py', 'gate.py --admin') + ' ' + (Get-SnapMirrorPublicKey -Path $AdminKeyPath)
        $old = '*gate.py*'
    }
    $authorized = Join-Path -Path $seed -ChildPath 'authorized_keys'
    $before = if (Test-Path -LiteralPath $authorized) { (Read-SnapMirrorText -Path $authorized).TrimEnd() -split '\r?\n' }
    $kept = @($before | Where-Object { $_ -and $_ -notlike $old })
    Write-SnapMirrorText -Path $authorized -Text ((@($kept) + $line -join "`n") + "`n")
    if (-not (Test-Path -LiteralPath (Join-Path $seed 'known_hosts'))) {
        Write-Warning -Message "there is no known_hosts in ${seed}: put the servers' host keys there (ssh-keyscan), then call Install-SnapMirror again"
    }
}
