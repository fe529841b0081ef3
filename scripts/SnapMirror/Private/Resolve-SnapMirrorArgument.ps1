function Resolve-SnapMirrorArgument {
    # The arguments of an installation: as they are given, else as before, else as they are by default; paths whole.
    [CmdletBinding()]
    [OutputType([hashtable])]
    param(
        [Parameter(Mandatory)] [hashtable] $Argument,
        [Parameter(Mandatory)] [AllowEmptyCollection()] [string[]] $Given,
        [Parameter(Mandatory)] [System.Management.Automation.PSCmdlet] $Cmdlet
    )

    $before = (Get-SnapMirrorJournal).Argument
    $result = @{}
    foreach ($name in $Argument.Keys) {
        $result[$name] = if ($Given -notcontains $name -and $before.ContainsKey($name)) { $before[$name] } else { $Argument[$name] }
    }
    if ($Given -contains 'SharePath') {
        $path = $Cmdlet.GetUnresolvedProviderPathFromPSPath($result['SharePath'])
        if ($path -ne [System.IO.Path]::GetPathRoot($path)) {
            $path = $path.TrimEnd('\', '/')
        }
        $result['SharePath'] = $path
    }
    $result
}
