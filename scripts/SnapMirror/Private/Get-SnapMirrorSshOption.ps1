function Get-SnapMirrorSshOption {
    # Options of ssh and sftp: our key only, the VM's key as Install-SnapMirror made it, nothing is ever asked.
    [CmdletBinding()]
    [OutputType([string[]])]
    param()

    $key = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'id_ed25519'
    $known = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'known_hosts'
    $option = @(
        'BatchMode=yes', 'StrictHostKeyChecking=yes', "UserKnownHostsFile=$known", 'IdentitiesOnly=yes',
        'ConnectTimeout=20', 'ServerAliveInterval=30', 'LogLevel=ERROR'
    )
    '-F', 'none', '-i', $key
    foreach ($one in $option) {
        '-o', $one
    }
}
