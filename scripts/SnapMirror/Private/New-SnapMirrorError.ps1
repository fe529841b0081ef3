function New-SnapMirrorError {
    # The error of a command that did not do its work; its id says which, such as SnapMirror.STORAGE, and its text why.
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute(
        'PSUseShouldProcessForStateChangingFunctions', '', Justification = 'It makes an object, and changes nothing.')]
    [CmdletBinding()]
    [OutputType([System.Management.Automation.ErrorRecord])]
    param(
        [Parameter(Mandatory)] [string] $Command,
        [Parameter(Mandatory)] [int] $ExitCode,
        [string[]] $Said = @(),
        [string] $Message,
        [object] $Target = $Command
    )

    $name = (Get-SnapMirrorContract).ExitCode["$ExitCode"]
    $why = @($Said | Where-Object { $_ -match '^snapmirror: error: ' } | ForEach-Object { $_ -replace '^snapmirror: error: ', '' })
    if ($ExitCode -eq 255) {
        $name = 'UNREACHABLE'
        $text = "the VM does not answer by ssh. Is it running? Get-VM shows that. $($Said -join ' ')".Trim()
    } elseif (-not $name) {
        $name = 'UNKNOWN'
        $text = "snapmirror $Command ended with $ExitCode."
    } elseif ($why) {
        $text = "snapmirror $Command ended with $ExitCode ($name): $($why -join '; ')"
    } else {
        $text = "snapmirror $Command ended with $ExitCode ($name); it says above what is wrong."
    }
    $text = if ($Message) { $Message } else { $text }
    $exception = New-Object -TypeName System.InvalidOperationException -ArgumentList $text
    $category = [System.Management.Automation.ErrorCategory]::NotSpecified
    New-Object -TypeName System.Management.Automation.ErrorRecord -ArgumentList $exception, "SnapMirror.$name", $category, $Target
}
