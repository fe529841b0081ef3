function Get-SnapMirrorProgram {
    # Where a program of Windows' own OpenSSH client is (Windows 10 1809, Server 2019 and later have it).
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [Parameter(Mandatory)] [ValidateSet('ssh', 'sftp', 'ssh-keygen')] [string] $Name
    )

    $found = Get-Command -Name $Name -CommandType Application -ErrorAction SilentlyContinue | Select-Object -First 1
    if (-not $found) {
        throw "$Name is missing. Add-WindowsCapability -Online -Name OpenSSH.Client~~~~0.0.1.0 installs it."
    }
    $found.Source
}
