function Read-SnapMirrorContract {
    # SnapMirror.Contract.psd1 with its keys in the order in which they stand there, which Import-PowerShellDataFile loses.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory, ParameterSetName = 'File')] [string] $Path,
        [Parameter(Mandatory, ParameterSetName = 'Node')] [System.Management.Automation.Language.Ast] $Node
    )

    if ($Path) {
        $none = $null
        $file = [System.Management.Automation.Language.Parser]::ParseFile($Path, [ref] $none, [ref] $none)
        $Node = $file.Find({ $args[0] -is [System.Management.Automation.Language.HashtableAst] }, $false)
    }
    $table = New-Object -TypeName System.Collections.Specialized.OrderedDictionary
    foreach ($pair in $Node.KeyValuePairs) {
        $inner = $pair.Item2.PipelineElements[0].Expression
        $table[[string]$pair.Item1.SafeGetValue()] = if ($inner -is [System.Management.Automation.Language.HashtableAst]) {
            Read-SnapMirrorContract -Node $inner
        } else {
            $inner.SafeGetValue()
        }
    }
    $table
}
