function Get-SnapMirrorSshOption {
    # Options of ssh and sftp: one key only, the VM's key as Install-SnapMirror made it, nothing is ever asked (but the
    # passphrase of a key that is named).
    [CmdletBinding()]
    [OutputType([string[]])]
    param(
        [string] $KeyFile
    )

    $key = if ($KeyFile) { $KeyFile } else { Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'id_ed25519' }
    $batch = if ($KeyFile) { 'no' } else { 'yes' }
    # In quotes, as ssh takes the value apart at blanks; with slashes, as it takes backslashes for its own in quotes.
    $known = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'known_hosts'
    if ($env:OS -eq 'Windows_NT') {
        $known = $known -replace '\\', '/'
    }
    $option = @(
        "BatchMode=$batch", 'StrictHostKeyChecking=yes', "UserKnownHostsFile=`"$known`"", 'IdentitiesOnly=yes',
        'ConnectTimeout=20', 'ServerAliveInterval=30', 'LogLevel=ERROR'
    )
    '-F', 'none', '-i', $key
    foreach ($one in $option) {
        '-o', $one
    }
}
