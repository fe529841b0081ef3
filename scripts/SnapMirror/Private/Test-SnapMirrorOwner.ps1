function Test-SnapMirrorOwner {
    # Whether a folder belongs to the administrators or the system.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [string] $Path
    )

    $owner = (Get-Acl -LiteralPath $Path).GetOwner([System.Security.Principal.SecurityIdentifier]).Value
    'S-1-5-18', 'S-1-5-32-544' -contains $owner
}
