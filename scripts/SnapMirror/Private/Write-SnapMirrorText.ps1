function Write-SnapMirrorText {
    # Text as Linux reads it: UTF-8 without a mark (which 5.1's own cmdlets cannot write), lines that end in LF.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [string] $Path,
        [Parameter(Mandatory)] [string] $Text
    )

    $encoding = New-Object -TypeName System.Text.UTF8Encoding -ArgumentList $false
    [System.IO.File]::WriteAllText($Path, ($Text -replace "`r`n", "`n"), $encoding)
}
