function Test-SnapMirrorSuccess {
    # Whether a command that ended with this code has done its work.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [int] $ExitCode
    )

    $contract = Get-SnapMirrorContract
    $contract.Success -contains $contract.ExitCode["$ExitCode"]
}
