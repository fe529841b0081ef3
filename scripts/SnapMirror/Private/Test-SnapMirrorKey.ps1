function Test-SnapMirrorKey {
    # Whether the keys are there with their public halves, and the VM is known by its address.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [string] $Address
    )

    $root = Get-SnapMirrorHome
    foreach ($name in 'id_ed25519', 'id_server', 'ssh_host_ed25519_key') {
        if (-not (Test-Path -LiteralPath (Join-Path $root $name)) -or -not (Test-Path -LiteralPath (Join-Path $root "$name.pub"))) {
            return $false
        }
        if (-not (Test-SnapMirrorOwner -Path (Join-Path $root $name))) {
            return $false # ssh would refuse it
        }
    }
    $known = Join-Path -Path $root -ChildPath 'known_hosts'
    (Test-Path -LiteralPath $known) -and (Read-SnapMirrorText -Path $known).Trim() -ceq "$Address $((Read-SnapMirrorText -Path (Join-Path $root 'ssh_host_ed25519_key.pub')).Trim())"
}
