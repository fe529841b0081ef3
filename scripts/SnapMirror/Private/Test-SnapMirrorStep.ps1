function Test-SnapMirrorStep {
    # Whether what a step makes is there, asked of Windows itself.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [hashtable] $Step,
        [Parameter(Mandatory)] [hashtable] $Setting,
        [Parameter(Mandatory)] [hashtable] $Wish
    )

    $WhatIfPreference = $false # looking changes nothing, but needs a file or two for it
    $ErrorActionPreference = 'Stop'
    $PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }
    [bool](& $Step.Test $Setting $Wish)
}
