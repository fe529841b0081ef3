function Set-SnapMirrorJournal {
    # Write down what is made, whole or not at all: a cut file would leave the installation without its list.
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute(
        'PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The step that it writes down has asked.')]
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [hashtable] $Journal
    )

    $path = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'installation.json'
    Write-SnapMirrorText -Path "$path.new" -Text (ConvertTo-Json -InputObject $Journal -Depth 5)
    if (Test-Path -LiteralPath $path) {
        [System.IO.File]::Replace("$path.new", $path, [NullString]::Value)
    } else {
        [System.IO.File]::Move("$path.new", $path)
    }
}
