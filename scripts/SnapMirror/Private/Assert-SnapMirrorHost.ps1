function Assert-SnapMirrorHost {
    # Everything that Install-SnapMirror needs is there; else it stops before it has changed anything.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [string] $VhdxPath,
        [Parameter(Mandatory)] [string] $SharePath,
        [Parameter(Mandatory)] [string] $SwitchName
    )

    $ErrorActionPreference = 'Stop'
    if ($env:OS -ne 'Windows_NT') {
        throw 'This sets up a Windows host.'
    }
    if (-not (Test-SnapMirrorAdministrator)) {
        throw 'This needs an administrator: right click on PowerShell, Run as administrator.'
    }
    if (-not (Get-Command -Name 'New-VM' -ErrorAction Ignore)) {
        throw 'Hyper-V is missing: Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V -All, then restart.'
    }
    foreach ($name in 'ssh', 'sftp', 'ssh-keygen') {
        $null = Get-SnapMirrorProgram -Name $name
    }
    if (-not (Test-Path -LiteralPath $VhdxPath -PathType Leaf)) {
        throw "$VhdxPath is missing; vm/build makes it, on Linux."
    }
    $switch = @(Get-VMSwitch -ErrorAction Stop | Select-Object -ExpandProperty Name)
    if ($switch -notcontains $SwitchName) {
        throw "There is no switch $SwitchName; there are: $($switch -join ', ')."
    }
    if ($SharePath -match '^[\\/]{2}') {
        throw "$SharePath is on another machine. The image lies on a disk of this one: -SharePath D:\Snapmirror"
    }
    $drive = [System.IO.Path]::GetPathRoot($SharePath)
    if ($SharePath -eq $drive) {
        throw "$SharePath is a whole drive, whose rights would change. Name a folder on it: -SharePath $(Join-Path $drive 'Snapmirror')"
    }
    if (Test-Path -LiteralPath $SharePath -PathType Leaf) {
        throw "$SharePath is a file. Name a folder, which may be missing yet."
    }
    $volume = Get-Volume -FilePath $drive -ErrorAction Stop
    if ('NTFS', 'ReFS' -notcontains $volume.FileSystemType) {
        throw "$SharePath lies on $($volume.FileSystemType), which has no sparse files; NTFS and ReFS have."
    }
    $root = Get-SnapMirrorHome
    if ((Test-Path -LiteralPath $root) -and -not (Test-SnapMirrorOwner -Path $root)) {
        throw "$root is there already, and not the administrators' own. Look at what is in it, and move it away."
    }
}
