function Get-SnapMirrorContract {
    # What is read of snapmirror: see SnapMirror.Contract.psd1.
    [CmdletBinding()]
    [OutputType([hashtable])]
    param()

    $root = Split-Path -Path $PSScriptRoot -Parent
    Import-PowerShellDataFile -Path (Join-Path $root 'SnapMirror.Contract.psd1')
}
