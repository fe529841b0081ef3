function Get-SnapMirrorDiskPath {
    # The disk of the VM: our copy of the VHDX.
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [Parameter(Mandatory)] [string] $VMName
    )

    [System.IO.Path]::GetFullPath((Join-Path -Path (Get-SnapMirrorHome) -ChildPath "VM/$VMName.vhdx"))
}
