function Get-SnapMirrorJournal {
    # What Install-SnapMirror has made, and with which arguments: installation.json, written as it is made.
    [CmdletBinding()]
    [OutputType([hashtable])]
    param()

    $journal = @{ Argument = @{}; Made = @() }
    if (-not $env:ProgramData) {
        return $journal # not on Windows
    }
    $path = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'installation.json'
    if (Test-Path -LiteralPath $path) {
        $read = ConvertFrom-SnapMirrorJson -Text (Read-SnapMirrorText -Path $path)
        foreach ($one in $read.Argument.PSObject.Properties) {
            $journal.Argument[$one.Name] = $one.Value
        }
        $journal.Made = @(foreach ($one in $read.Made) {
            $since = if ($one.PSObject.Properties['Since']) { $one.Since } else { $one.At } # (those of before have none)
            $sid = if ($one.PSObject.Properties['Sid']) { @($one.Sid) }
            @{ Name = $one.Name; State = $one.State; Given = $one.Given; At = $one.At; Since = $since; Sid = $sid }
        })
    }
    $journal
}
