function Get-SnapMirrorTaskAction {
    # What the scheduled task runs: powershell.exe, with what it is handed. A script by -File takes its arguments as they
    # are: nothing in a name is PowerShell then.
    [CmdletBinding()]
    [OutputType([hashtable])]
    param(
        [Parameter(Mandatory)] [string] $ModulePath,
        [string] $CopyPath
    )

    $argument = @('-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-File', (Join-Path $ModulePath 'Invoke-SnapMirrorNight.ps1'))
    if ($CopyPath) {
        $argument += '-CopyPath', $CopyPath
    }
    @{
        Execute  = Join-Path -Path $env:SystemRoot -ChildPath 'System32\WindowsPowerShell\v1.0\powershell.exe'
        Argument = ConvertTo-SnapMirrorArgument -Argument $argument
    }
}
