function Invoke-SnapMirrorNative {
    # Run a program of Windows; one that fails is an error with what it has printed.
    [CmdletBinding()]
    [OutputType([string[]])]
    param(
        [Parameter(Mandatory)] [string] $Program,
        [Parameter(Mandatory)] [string[]] $Argument,
        [int[]] $Success = @(0)
    )

    $printed = & $Program $Argument
    if ($Success -notcontains $LASTEXITCODE) {
        throw "$Program $Argument ended with ${LASTEXITCODE}: $($printed -join ' ')"
    }
    $printed
}
