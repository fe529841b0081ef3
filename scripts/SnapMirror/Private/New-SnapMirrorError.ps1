function New-SnapMirrorError {
    # The error of a command that did not do its work; its id says which, such as SnapMirror.STORAGE.
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute(
        'PSUseShouldProcessForStateChangingFunctions', '', Justification = 'It makes an object, and changes nothing.')]
    [CmdletBinding()]
    [OutputType([System.Management.Automation.ErrorRecord])]
    param(
        [Parameter(Mandatory)] [string] $Command,
        [Parameter(Mandatory)] [int] $ExitCode
    )

    $name = (Get-SnapMirrorContract).ExitCode["$ExitCode"]
    if ($ExitCode -eq 255) {
        $name = 'UNREACHABLE'
        $text = 'the VM does not answer by ssh. Is it running? Get-VM shows that.'
    } elseif ($name) {
        $text = "snapmirror $Command ended with $ExitCode ($name); it says above what is wrong."
    } else {
        $name = 'UNKNOWN'
        $text = "snapmirror $Command ended with $ExitCode."
    }
    $exception = New-Object -TypeName System.InvalidOperationException -ArgumentList $text
    $category = [System.Management.Automation.ErrorCategory]::NotSpecified
    New-Object -TypeName System.Management.Automation.ErrorRecord -ArgumentList $exception, "SnapMirror.$name", $category, $Command
}
