function Invoke-SnapMirrorNative {
    # Run a program of Windows; one that fails is an error with what it has printed.
    [CmdletBinding()]
    [OutputType([string[]])]
    param(
        [Parameter(Mandatory)] [string] $Program,
        [Parameter(Mandatory)] [string[]] $Argument,
        [int[]] $Success = @(0)
    )

    $found = Get-Command -Name $Program -CommandType Application -ErrorAction Stop | Select-Object -First 1
    $done = Invoke-SnapMirrorProgram -Program $found.Source -Argument $Argument -Quiet
    $global:LASTEXITCODE = $done.ExitCode
    if ($Success -notcontains $done.ExitCode) {
        throw "$Program $Argument ended with $($done.ExitCode): $(@($done.Output) + @($done.Said) -join ' ')"
    }
    $done.Output
}
