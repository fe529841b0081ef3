function Invoke-SnapMirrorNative {
    # Run a program of Windows; one that fails is an error with what it has printed.
    [CmdletBinding()]
    [OutputType([string[]])]
    param(
        [Parameter(Mandatory)] [string] $Program,
        [Parameter(Mandatory)] [string[]] $Argument
    )

    $printed = & $Program $Argument
    if ($LASTEXITCODE -ne 0) {
        throw "$Program $Argument ended with ${LASTEXITCODE}: $($printed -join ' ')"
    }
    $printed
}
