function Confirm-SnapMirrorOverwrite {
    # Whether something that is there may be written over: a question, unless the caller was told not to ask.
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [string] $Path
    )

    $PSCmdlet.ShouldProcess($Path, 'overwrite')
}
