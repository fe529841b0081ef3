function Get-SnapMirrorTaskArgument {
    # What the scheduled task hands to powershell.exe. A script by -File takes its arguments as they are: nothing in a
    # name is PowerShell then.
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [Parameter(Mandatory)] [string] $ModulePath,
        [string] $CopyPath
    )

    $argument = @('-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-File', (Join-Path $ModulePath 'Invoke-SnapMirrorNight.ps1'))
    if ($CopyPath) {
        $argument += '-CopyPath', $CopyPath
    }
    ConvertTo-SnapMirrorArgument -Argument $argument
}
