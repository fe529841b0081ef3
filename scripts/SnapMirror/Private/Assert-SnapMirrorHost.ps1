function Assert-SnapMirrorHost {
    # Everything that Install-SnapMirror needs is there; else it stops before it has changed anything.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [string] $VhdxPath,
        [Parameter(Mandatory)] [string] $SharePath,
        [Parameter(Mandatory)] [string] $SwitchName
    )

    if ($env:OS -ne 'Windows_NT') {
        throw 'This sets up a Windows host.'
    }
    $identity = [System.Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object -TypeName System.Security.Principal.WindowsPrincipal -ArgumentList $identity
    if (-not $principal.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'This needs an administrator: right click on PowerShell, Run as administrator.'
    }
    if (-not (Get-Command -Name 'New-VM' -ErrorAction SilentlyContinue)) {
        throw 'Hyper-V is missing: Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V -All, then restart.'
    }
    foreach ($name in 'ssh', 'sftp', 'ssh-keygen') {
        $null = Get-SnapMirrorProgram -Name $name
    }
    if (-not (Test-Path -LiteralPath $VhdxPath -PathType Leaf)) {
        throw "$VhdxPath is missing; vm/build makes it, on Linux."
    }
    if (-not (Get-VMSwitch -Name $SwitchName -ErrorAction SilentlyContinue)) {
        throw "There is no switch $SwitchName; there are: $(@(Get-VMSwitch | Select-Object -ExpandProperty Name) -join ', ')."
    }
    $volume = Get-Volume -FilePath ([System.IO.Path]::GetPathRoot($SharePath))
    if ('NTFS', 'ReFS' -notcontains $volume.FileSystemType) {
        throw "$SharePath lies on $($volume.FileSystemType), which has no sparse files; NTFS and ReFS have."
    }
}
