function Test-SnapMirrorSeed {
    # Whether the VM's configuration is there, and lets this host's key in. What is in the rest may be one's own.
    [CmdletBinding()]
    [OutputType([bool])]
    param()

    $root = Get-SnapMirrorHome
    foreach ($name in 'seed/snapmirror.toml', 'seed/appliance.toml', 'seed/network/10-windows.network', 'seed/authorized_keys', 'id_ed25519.pub') {
        if (-not (Test-Path -LiteralPath (Join-Path $root $name))) {
            return $false
        }
    }
    (Read-SnapMirrorText -Path (Join-Path $root 'seed/authorized_keys')).Contains((Read-SnapMirrorText -Path (Join-Path $root 'id_ed25519.pub')).Trim())
}
