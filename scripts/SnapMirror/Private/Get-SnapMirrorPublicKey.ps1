function Get-SnapMirrorPublicKey {
    # The line of a public key. A private one is refused: it would be written into a file for the VM.
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [Parameter(Mandatory)] [string] $Path
    )

    $text = (Read-SnapMirrorText -Path $Path).Trim()
    if ($text -notmatch '^(ssh|ecdsa|sk)-[A-Za-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\r\n]*)?$') {
        throw "$Path holds no public key. Name the .pub file that ssh-keygen has made."
    }
    $text
}
