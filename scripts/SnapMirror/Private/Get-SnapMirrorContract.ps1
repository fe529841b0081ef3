function Get-SnapMirrorContract {
    # What is read of snapmirror: see SnapMirror.Contract.psd1. It was read when the module was loaded.
    [CmdletBinding()]
    param()

    $script:Contract
}
